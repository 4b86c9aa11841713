"""Other PEFT methods as links of a chain, by name."""

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoHaConfig, LoraConfig, PeftConfig, PrefixTuningConfig, TaskType, get_peft_model
from torch import Tensor
from transformers import AutoModelForCausalLM

from colarepro.chain import Chain, Schedule, export_adapter, export_merged
from colarepro.chain.links import seeded
from colarepro.errors import ColaError
from colarepro.methods import Adapter
from tests.chain.models import adamw, base_model, chained, logits, peft_model, tokens, train
from tests.chain.test_callback import BEST, assert_best_is_restored, assert_equal, losses, trainer, weights

pytestmark = pytest.mark.filterwarnings("ignore:Invalid `oft_block_size`")  # the models are narrower than its default

REBUILT = {
    "dora": {"alpha": 8},
    "pissa": {"alpha": 8},
    "olora": {"alpha": 8},
    "loha": {"alpha": 8},
    "lokr": {"alpha": 8},
    "gralora": {"alpha": 8},
    "hra": {},  # no alpha
    "oft": {"rank": 8},  # no alpha and no rank
    "osf": {"rank": 8},  # with hooks on its parameters
}
VARIANTS = {"rslora": {"alpha": 8}, **REBUILT}


def model(variant: str, family: str = "llama", **settings: Any) -> Any:
    """A small model with rank-4 adapters on its attention projections, in training mode."""
    base = base_model(family)
    torch.manual_seed(3)
    return Adapter(**({"rank": 4, "variant": variant} | VARIANTS.get(variant, {}) | settings)).attach(base).train()


def snapshot(model: Any) -> dict[str, tuple[Tensor, int, bool]]:
    """Values, identities and flags of all parameters, and the values of all buffers."""
    found = {name: (tensor.clone(), 0, False) for name, tensor in model.state_dict().items()}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        found[name] = (parameter.detach().clone(), id(parameter), parameter.requires_grad)
    return found


def assert_unchanged(model: Any, before: dict[str, tuple[Tensor, int, bool]]) -> None:
    after = snapshot(model)
    assert after.keys() == before.keys()
    for name, (values, *rest) in after.items():
        assert torch.equal(values.nan_to_num(nan=9.0), before[name][0].nan_to_num(nan=9.0)), name
        assert rest == list(before[name][1:]), name


@pytest.mark.parametrize("family", ["llama", "opt"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_knot_keeps_the_function_and_the_optimizer_goes_on(variant: str, family: str) -> None:
    adapted = model(variant, family)
    chain, optimizer = chained(adapted, Schedule(length=3), 9)
    held = [id(parameter) for group in optimizer.param_groups for parameter in group["params"]]
    for _ in range(2):
        train(adapted, None, optimizer, 3)
        before = logits(adapted)
        adapted(input_ids=tokens(), labels=tokens()).loss.backward()  # leaves a gradient of the ending link
        chain.tie()
        assert (logits(adapted) - before).norm() < 1e-5 * before.norm()
        assert not optimizer.state
        trained = [parameter for parameter in adapted.parameters() if parameter.requires_grad]
        assert {id(parameter) for parameter in trained} == set(held)
        assert all(parameter.grad is None for parameter in trained)
        start = [parameter.detach().clone() for parameter in trained]
        train(adapted, None, optimizer, 1)
        moves = [float((new.detach() - old).abs().max()) for new, old in zip(trained, start, strict=True)]
        assert 0.9e-2 < max(moves) <= 1e-2 * (1 + 1e-3)
    assert [id(parameter) for group in optimizer.param_groups for parameter in group["params"]] == held


@pytest.mark.parametrize("variant", REBUILT)
def test_a_chain_equals_building_model_and_optimizer_anew(variant: str) -> None:
    adapted = model(variant)
    config = adapted.peft_config["default"]
    chain, optimizer = chained(adapted, Schedule(length=3), 9, seed=7)
    ours = train(adapted, chain, optimizer, 9)

    plain, theirs = base_model(), []
    for link in range(3):
        if link:
            with seeded(7, link):
                wrapped = get_peft_model(plain, config)
        else:
            wrapped = model(variant)
        theirs += train(wrapped.train(), None, adamw(wrapped), 3, first=len(theirs))
        plain = wrapped.merge_and_unload()
    assert ours == theirs


@pytest.mark.filterwarnings("ignore:Unsupported layer type")  # PEFT says so of every norm
@pytest.mark.parametrize("variant", [*REBUILT, "ln_tuning"])
def test_the_rehearsal_before_training_leaves_no_trace(variant: str) -> None:
    """LN tuning is merged by changing places: the trained module becomes the base."""
    norms = {"rank": 8, "targets": ("self_attn_layer_norm",)}
    adapted = model(variant, "opt", **(norms if variant == "ln_tuning" else {}))
    with torch.no_grad():
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                parameter.add_(0.01)
    config, before = adapted.peft_config["default"], snapshot(adapted)
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    chain = Chain(adapted, Schedule(length=2), total_steps=4)
    assert torch.equal(torch.rand(3), expected)
    assert_unchanged(adapted, before)
    assert not any(layer.merged for layer in chain.links.layers.values())
    assert adapted.peft_config["default"] is config
    assert adapted.get_base_model().peft_config["default"] is config


def test_dora_is_merged_as_its_paper_has_it() -> None:
    """arXiv 2402.09353, equation 5: m (W + s B A) / ||W + s B A||, with one norm an output."""
    adapted = model("dora")
    chain, optimizer = chained(adapted, Schedule(length=2), 8)
    train(adapted, None, optimizer, 4)
    layer = adapted.get_base_model().model.layers[1].self_attn.v_proj
    lora_A, lora_B = layer.lora_A["default"].weight.double(), layer.lora_B["default"].weight.double()
    direction = layer.base_layer.weight.double() + 8 / 4 * lora_B @ lora_A
    magnitude = layer.lora_magnitude_vector["default"].weight.detach().double()
    expected = magnitude[:, None] * direction / direction.pow(2).sum(dim=1, keepdim=True).sqrt()
    chain.tie()
    layer = adapted.get_base_model().model.layers[1].self_attn.v_proj
    torch.testing.assert_close(layer.base_layer.weight.double(), expected, rtol=1e-5, atol=1e-7)
    norms = layer.base_layer.weight.norm(dim=1)  # the next link starts from the new weight's norms
    torch.testing.assert_close(layer.lora_magnitude_vector["default"].weight, norms)


def test_pissa_decomposes_the_merged_weight_anew() -> None:
    adapted = model("pissa")
    chain, optimizer = chained(adapted, Schedule(length=2), 8)
    train(adapted, None, optimizer, 4)
    layer = adapted.get_base_model().model.layers[0].self_attn.q_proj
    merged = layer.base_layer.weight.detach() + layer.get_delta_weight("default").detach()
    chain.tie()
    left, values, right = torch.linalg.svd(merged)
    layer = adapted.get_base_model().model.layers[0].self_attn.q_proj
    principal = left[:, :4] * values[:4] @ right[:4]
    torch.testing.assert_close(layer.get_delta_weight("default"), principal, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(layer.base_layer.weight, merged - principal, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("variant", ["dora", "pissa", "loha"])
def test_ranks_may_change(variant: str) -> None:
    adapted = model(variant)
    chain, optimizer = chained(adapted, Schedule(knot_steps=(3, 6), ranks=(4, 2, 3)), 9)
    held = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    ranks = [adapted.peft_config["default"].r]
    for step in range(9):
        before = logits(adapted)
        train(adapted, None, optimizer, 1, first=step)
        before = logits(adapted)
        if chain.step():
            assert (logits(adapted) - before).norm() < 1e-5 * before.norm()
            ranks.append(adapted.peft_config["default"].r)
            assert {min(p.shape) for p in adapted.parameters() if p.requires_grad and p.dim() == 2} == {ranks[-1]}
    assert ranks == [4, 2, 3]
    assert {id(parameter) for parameter in adapted.parameters() if parameter.requires_grad} == held


RESUMED = {variant: Schedule(knot_epochs=(1, 2)) for variant in VARIANTS} | {
    "dora": Schedule(knot_steps=(6, 12), ranks=(4, 2, 1)),
    "pissa": Schedule(knot_steps=(6, 12), ranks=(4, 2, 1)),
}


@pytest.mark.parametrize("variant", RESUMED)
def test_resume_equals_the_uninterrupted_run(variant: str, tmp_path: Path) -> None:
    """Before a knot (3), at one (6) and after it (9)."""
    schedule = RESUMED[variant]
    straight, callback = trainer(tmp_path, schedule, model(variant))
    straight.train()
    assert callback.chain is not None
    assert callback.chain.link == 2
    for step in (3, 6, 9):
        resumed, again = trainer(tmp_path, schedule, model(variant), save_strategy="no")
        resumed.train(resume_from_checkpoint=str(tmp_path / f"checkpoint-{step}"))
        assert losses(resumed) == losses(straight)
        assert_equal(weights(resumed), weights(straight))
        assert again.chain is not None
        assert again.chain.link == 2


@pytest.mark.parametrize("ranks", [(), (4, 2)], ids=["", "ranks"])
@pytest.mark.parametrize("variant", ["dora", "pissa", "olora", "loha"])
def test_the_best_model_restores_base_and_link_together(variant: str, ranks: tuple[int, ...], tmp_path: Path) -> None:
    assert_best_is_restored(*trainer(tmp_path, Schedule(knot_steps=(7,), ranks=ranks), model(variant), **BEST))


@pytest.mark.parametrize("family", ["llama", "opt"])
@pytest.mark.parametrize("variant", REBUILT)
def test_the_merged_checkpoint_equals_the_chain_and_leaves_it_alone(variant: str, family: str, tmp_path: Path) -> None:
    adapted = model(variant, family)
    chain, optimizer = chained(adapted, Schedule(length=3), 9)
    train(adapted, chain, optimizer, 9)
    before = snapshot(adapted)
    export_merged(chain, tmp_path)
    assert_unchanged(adapted, before)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    torch.testing.assert_close(logits(loaded), logits(adapted), rtol=1e-5, atol=1e-5)
    assert loaded.state_dict().keys() == base_model(family).state_dict().keys()


def test_what_is_trained_beside_the_link_keeps_its_moments() -> None:
    """A trained bias, and a whole module that PEFT copies; a frozen factor stays frozen."""
    adapted = peft_model("opt", use_dora=True, bias="all", modules_to_save=["final_layer_norm"])
    for name, parameter in adapted.named_parameters():
        if ".lora_A." in name:
            parameter.requires_grad_(False)
    chain, optimizer = chained(adapted, Schedule(length=2), 8)
    train(adapted, None, optimizer, 4)
    trained = {name for name, parameter in adapted.named_parameters() if parameter.requires_grad}
    link = {name for name in trained if ".lora_" in name}
    before = logits(adapted)
    chain.tie()
    assert (logits(adapted) - before).norm() < 1e-5 * before.norm()
    now = dict(adapted.named_parameters())
    assert {name for name, parameter in now.items() if parameter.requires_grad} == trained
    assert {id(parameter) for parameter in optimizer.state} == {id(now[name]) for name in trained - link}
    assert all(state["step"] == 4 for state in optimizer.state.values())
    original = now["base_model.model.model.decoder.final_layer_norm.original_module.weight"]
    copied = now["base_model.model.model.decoder.final_layer_norm.modules_to_save.default.weight"]
    frozen = original.clone()
    train(adapted, None, optimizer, 2)
    assert torch.equal(original, frozen)
    assert not torch.equal(copied, frozen)


def test_autocast_changes_nothing_about_the_knot() -> None:
    merged = []
    for enabled in (False, True):
        adapted = model("dora")
        chain, optimizer = chained(adapted, Schedule(length=2), 8)
        train(adapted, None, optimizer, 3)
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            chain.tie()
        merged.append(chain.links.state())
    assert_equal(*merged)


def test_without_a_fold_any_method_restarts_its_optimizer() -> None:
    adapted = model("dora")
    chain, optimizer = chained(adapted, Schedule(length=2, fold="none"), 8)
    train(adapted, None, optimizer, 3)
    before = snapshot(adapted)
    chain.tie()
    assert_unchanged(adapted, before)
    assert not optimizer.state


@pytest.mark.parametrize("variant", ["dora", "pissa"])
def test_a_link_that_is_not_finite(variant: str) -> None:
    adapted = model(variant)
    chain, optimizer = chained(adapted, Schedule(length=2), 8)
    train(adapted, None, optimizer, 3)
    with torch.no_grad():
        chain.links.parameters["base_model.model.model.layers.1.self_attn.v_proj"][0][0] = float("nan")
    before, moments = snapshot(adapted), len(optimizer.state)
    with pytest.raises(ColaError, match=r"Link 0 of .*layers.1.self_attn.v_proj holds a NaN or an infinity"):
        chain.tie()
    assert_unchanged(adapted, before)
    assert (chain.link, len(optimizer.state)) == (0, moments)


@pytest.mark.parametrize("variant", ["dora", "pissa", "loha"])
def test_a_merge_that_overflows_leaves_all_as_it_was(variant: str) -> None:
    """The last target overflows after the others have merged."""
    adapted = model(variant)
    chain, optimizer = chained(adapted, Schedule(length=2), 8)
    train(adapted, None, optimizer, 3)
    with torch.no_grad():
        for parameter in chain.links.parameters["base_model.model.model.layers.1.self_attn.v_proj"]:
            parameter.fill_(3e38)
    before, moments = snapshot(adapted), len(optimizer.state)
    with pytest.raises(ColaError, match=r"NaN"):
        chain.tie()
    assert_unchanged(adapted, before)
    assert (chain.link, len(optimizer.state)) == (0, moments)


def test_knots_outside_training_and_after_the_last_link() -> None:
    adapted = model("dora")
    chain, _ = chained(adapted, Schedule(length=2), 8)
    adapted.eval()
    with pytest.raises(ColaError, match="evaluation mode"):
        chain.tie()
    adapted.train()
    adapted.merge_adapter()
    with pytest.raises(ColaError, match="merged or disabled"):
        chain.tie()
    adapted.unmerge_adapter()
    chain.tie()
    with pytest.raises(ColaError, match="2 links is on its last"):
        chain.tie()


def test_resume_refuses_a_merged_base_and_another_method(tmp_path: Path) -> None:
    schedule = Schedule(knot_steps=(6,))
    first, _ = trainer(tmp_path, schedule, model("dora"))
    first.train()
    checkpoint = str(tmp_path / "checkpoint-9")
    again, _ = trainer(tmp_path, schedule, model("dora"))
    again.model.load_state_dict(first.model.state_dict())
    with pytest.raises(ColaError, match="on other base weights"):
        again.train(resume_from_checkpoint=checkpoint)
    for variant, message in {"rslora": "made for another adapter", "loha": "made with another adapter"}.items():
        other = Chain(model(variant), schedule, total_steps=18)
        with pytest.raises(ColaError, match=message):
            other.load(checkpoint)


def test_there_is_no_single_adapter_to_export(tmp_path: Path) -> None:
    chain = Chain(model("dora"), Schedule(length=2), total_steps=4)
    with pytest.raises(ColaError, match=r"no products of two factors.*export_merged"):
        export_adapter(chain, tmp_path / "adapter")
    assert not (tmp_path / "adapter").exists()
    with pytest.raises(ColaError, match="q_proj is no product of two factors"):
        chain.delta("q_proj")


Q_AND_V: dict[str, Any] = {"target_modules": ["q_proj", "v_proj"], "r": 4}
DORA = LoraConfig(use_dora=True, **Q_AND_V)
REFUSED = [
    ("bfloat16", DORA, Schedule(length=2), r"q_proj has a Parameter of torch.bfloat16.*expected plain float32"),
    ("llama", DORA, Schedule(length=2, initialization="same"), "keeps LoRA's first A"),
    ("llama", DORA, Schedule(length=2, ranks=(8, 4)), "has rank 4, but the first link wants 8"),
    (
        "llama",
        LoraConfig(use_dora=True, rank_pattern={"q_proj": 2}, **Q_AND_V),
        Schedule(length=2, ranks=(4, 2)),
        "without rank_pattern",
    ),
    (
        "opt",
        LoHaConfig(target_modules=["q_proj", "lm_head"]),
        Schedule(length=2),
        r"lm_head shares its weight with another module .*embed_tokens",
    ),
    (
        "llama",
        LoraConfig(init_lora_weights="orthogonal", **Q_AND_V),
        Schedule(length=2, ranks=(4, 3)),
        "PEFT says: Orthogonal .* even, got 3 instead",
    ),
    (
        "llama",
        LoHaConfig(init_weights=False, **Q_AND_V),
        Schedule(length=2),
        "LOHA does not start from the merged weight of",
    ),
    (
        "llama",
        PrefixTuningConfig(task_type=TaskType.CAUSAL_LM, num_virtual_tokens=2),
        Schedule(length=2),
        "PREFIX_TUNING adapts no layer",
    ),
]


@pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings=True`")
@pytest.mark.parametrize(("base", "config", "schedule", "message"), REFUSED)
def test_refusals_before_training(base: str, config: PeftConfig, schedule: Schedule, message: str) -> None:
    dtype = torch.bfloat16 if base == "bfloat16" else torch.float32
    adapted = get_peft_model(base_model("opt" if base == "opt" else "llama", dtype), config)
    before = snapshot(adapted)
    with pytest.raises(ColaError, match=message):
        Chain(adapted, schedule, total_steps=4)
    assert_unchanged(adapted, before)


def test_methods_without_ranks_and_links_whose_tensors_differ() -> None:
    with pytest.raises(ColaError, match="PEFT's OFT has none"):
        Chain(model("oft"), Schedule(length=2, ranks=(4, 2)), total_steps=4)
    # LoKr factorises its second matrix only where the rank is small against it.
    with pytest.raises(ColaError, match="LOKR has other tensors at rank 1"):
        Chain(model("lokr"), Schedule(length=2, ranks=(4, 1)), total_steps=4)


def test_two_adapters() -> None:
    adapted = model("dora")
    adapted.add_adapter("other", LoraConfig(target_modules=["k_proj"]))
    with pytest.raises(ColaError, match="has the adapters default, other; expected default alone"):
        Chain(adapted, Schedule(length=2), total_steps=4)


def test_an_embedding_is_rebuilt() -> None:
    adapted = peft_model(target_modules=["embed_tokens"])
    chain, optimizer = chained(adapted, Schedule(length=2), 8)
    train(adapted, None, optimizer, 3)
    before = logits(adapted)
    chain.tie()
    assert chain.targets == []
    assert (logits(adapted) - before).norm() < 1e-5 * before.norm()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"variant": "lorra"}, r"Unknown variant 'lorra'; expected one of lora, .*dora.*pissa.*loha"),
        ({"variant": "prefix_tuning"}, "Unknown variant 'prefix_tuning'"),
        ({"variant": "corda"}, "'corda' needs data or a quantised base .PEFT's corda_config"),
        ({"variant": "eva"}, "'eva' needs data"),
        ({"variant": "loftq"}, "'loftq' needs data"),
        ({"variant": "qalora"}, "'qalora' needs data"),
        ({"variant": "adalora"}, "'adalora' does not fit LlamaForCausalLM: AdaLoRA does not work when"),
        ({"variant": "oft", "rank": 4}, "Variant 'oft' has no rank, so expected the default, not 4"),
        ({"variant": "hra", "alpha": 4}, "Variant 'hra' has no alpha"),
        ({"variant": "loha", "dropout": 0.1}, "Variant 'loha' has no dropout"),
        ({"variant": "pissa", "initialization": "gaussian"}, "'pissa' starts in its own way"),
        ({"variant": "loha", "initialization": "gaussian"}, "'loha' starts in its own way"),
        ({"variant": "loha", "targets": ("query",)}, "No layer of LlamaForCausalLM is named query"),
    ],
)
def test_adapters_that_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(ColaError, match=message):
        Adapter(**settings).attach(base_model())


def test_names_become_peft_configurations() -> None:
    def config(**settings: Any) -> Any:
        return Adapter(**settings).attach(base_model()).peft_config["default"]

    assert config(variant="dora", rank=2, alpha=3, dropout=0.1, initialization="gaussian").to_dict() == (
        config(rank=2, alpha=3, dropout=0.1, initialization="gaussian").to_dict() | {"use_dora": True}
    )
    assert config(variant="pissa_niter_4").init_lora_weights == "pissa_niter_4"
    loha = config(variant="loha", rank=2, alpha=3)
    assert (loha.peft_type, loha.r, loha.alpha) == ("LOHA", 2, 3)
    vera = config(variant="vera", rank=2, dropout=0.1)
    assert (vera.peft_type, vera.r, vera.vera_dropout) == ("VERA", 2, 0.1)
