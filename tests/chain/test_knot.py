"""What a knot does to the function, the parameters and the optimizer."""

import copy
import gc

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch.optim.lr_scheduler import LambdaLR

from colarepro.chain import Chain, Schedule
from colarepro.chain.target import targets_of
from tests.chain.models import adamw, base_model, chained, logits, peft_model, tokens, train


@pytest.mark.parametrize("fold", ["merge", "stack"])
@pytest.mark.parametrize("family", ["llama", "opt", "gpt2"])
@pytest.mark.parametrize("lora", [{}, {"use_rslora": True}, {"lora_dropout": 0.3}], ids=["plain", "rslora", "dropout"])
def test_a_knot_keeps_the_function(family: str, fold: str, lora: dict) -> None:
    model = peft_model(family, **lora)
    chain, optimizer = chained(model, Schedule(length=3, fold=fold), 9)
    train(model, None, optimizer, 3)
    before = logits(model)
    chain.tie()
    assert not torch.equal(before, logits(base_model(family)))  # something was learned
    torch.testing.assert_close(logits(model), before, rtol=1e-5, atol=1e-6)
    train(model, None, optimizer, 3)
    before = logits(model)
    chain.tie()
    torch.testing.assert_close(logits(model), before, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_knot_in_low_precision_moves_the_function_by_roundings_of_the_weight_only(dtype: torch.dtype) -> None:
    model = peft_model(dtype=dtype)
    chain, optimizer = chained(model, Schedule(length=2), 20)
    train(model, None, optimizer, 10)
    before, drift = logits(model), logits(model) - logits(base_model(dtype=dtype))
    chain.tie()
    assert (logits(model) - before).norm() < 0.1 * drift.norm()


def test_stacking_over_bfloat16_is_exact_where_merging_rounds() -> None:
    moved = {}
    for fold in ("merge", "stack"):
        model = peft_model(dtype=torch.bfloat16)
        chain, optimizer = chained(model, Schedule(length=2, fold=fold), 20)
        train(model, None, optimizer, 10)
        name = chain.targets[0].name
        wanted = chain.delta(name)
        chain.tie()
        base = chain.targets[0].layer.get_base_layer()
        computed = base.weight.float()
        if fold == "stack":
            computed = computed + base.past_B @ base.past_A
        original = dict(base_model(dtype=torch.bfloat16).named_modules())[name.removeprefix("base_model.model.")]
        moved[fold] = (computed - original.weight.float() - wanted).norm() / wanted.norm()
    assert moved["stack"] < 1e-6 < 1e-3 < moved["merge"]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_weights_after_many_knots_are_the_original_plus_every_link(dtype: torch.dtype) -> None:
    model = peft_model(dtype=dtype)
    schedule = Schedule(length=6, ranks=(4, 4, 2, 2, 1, 3))
    chain, _ = chained(model, schedule, 12)
    target = chain.targets[1]
    weight = target.layer.get_base_layer().weight
    expected = weight.detach().double()
    for link in range(5):
        with torch.no_grad():
            for parameter in target.parameters:
                parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(link)) * 0.03)
        lora_A, lora_B = target.parameters
        expected += 8 / schedule.ranks[link] * lora_B.detach().double() @ lora_A.detach().double()
        chain.tie()
    assert target.layer.get_base_layer().weight is weight  # in place
    error = (weight.detach().double() - expected).abs().max() / expected.abs().max()
    assert error < (1e-6 if dtype is torch.float32 else 2**-8)


def test_many_small_knots_in_bfloat16_lose_nothing_that_one_rounding_keeps() -> None:
    """PEFT adds each delta to the bfloat16 weight, which loses most of many small updates."""
    model = peft_model(dtype=torch.bfloat16)
    knots = 60
    chain, _ = chained(model, Schedule(length=knots + 1), knots + 1)
    target = chain.targets[0]
    weight = target.layer.get_base_layer().weight
    original, naive = weight.detach().float(), weight.detach().clone()
    update = torch.zeros_like(original)
    size = 0.01 * original.norm() / knots**0.5  # in all, a hundredth of the weight's norm
    for link in range(knots):
        with torch.no_grad():
            target.parameters[1].copy_(torch.randn(16, 4, generator=torch.Generator().manual_seed(link)))
            target.parameters[1].mul_(size / target.link().product().norm())
        step = target.link().product()
        update += step
        naive += step.bfloat16()
        chain.tie()
    assert torch.equal(weight.detach(), (original + target.past.product()).bfloat16())
    torch.testing.assert_close(target.past.product(), update, rtol=1e-4, atol=1e-7)

    def kept(merged: torch.Tensor) -> float:
        return float(((merged.float() - original) * update).sum() / update.pow(2).sum())

    assert kept(weight.detach()) > 0.97
    assert kept(naive) < 0.8


def test_the_optimizer_forgets_the_link_and_nothing_else() -> None:
    model = peft_model("opt", bias="all")  # trainable biases belong to no link
    chain, optimizer = chained(model, Schedule(length=2), 10)
    train(model, None, optimizer, 4)
    link = {id(parameter) for target in chain.targets for parameter in target.parameters}
    others = {id(p): copy.deepcopy(state) for p, state in optimizer.state.items() if id(p) not in link}
    assert len(others) > 0
    chain.tie()
    remaining = {id(p): state for p, state in optimizer.state.items()}
    assert remaining.keys() == others.keys()
    assert all(state["step"] == 4 for state in remaining.values())


def test_the_first_step_after_a_knot_is_at_most_the_learning_rate() -> None:
    """Zeroed moments with an old step count would take steps up to 6.6 times as long."""
    model = peft_model()
    chain, optimizer = chained(model, Schedule(length=2), 40)
    train(model, None, optimizer, 30)
    chain.tie()
    before = [parameter.detach().clone() for target in chain.targets for parameter in target.parameters]
    train(model, None, optimizer, 1)
    after = [parameter.detach() for target in chain.targets for parameter in target.parameters]
    longest = max(float((new - old).abs().max()) for new, old in zip(after, before, strict=True))
    assert 0.9e-2 < longest <= 1e-2 * (1 + 1e-4)


def test_every_link_starts_from_zero_and_receives_gradient() -> None:
    model = peft_model()
    chain, optimizer = chained(model, Schedule(length=4), 8)
    for _ in range(3):
        train(model, None, optimizer, 2)
        chain.tie()
        for target in chain.targets:
            assert not target.link().product().any()
        batch = tokens(5)
        model(input_ids=batch, labels=batch).loss.backward()
        for target in chain.targets:
            assert target.parameters[1].grad.abs().max() > 0
        optimizer.zero_grad()


@pytest.mark.parametrize("fold", ["merge", "stack"])
def test_parameters_keep_their_identity_and_stay_the_optimizers(fold: str) -> None:
    model = peft_model()
    chain, optimizer = chained(model, Schedule(length=3, ranks=(4, 2, 3), fold=fold), 6)
    before = [id(parameter) for parameter in model.parameters() if parameter.requires_grad]
    train(model, chain, optimizer, 6)
    trainable = {id(parameter) for parameter in model.parameters() if parameter.requires_grad}
    assert trainable == set(before) == {id(p) for group in optimizer.param_groups for p in group["params"]}


def test_in_place_knots_equal_building_model_and_optimizer_anew() -> None:
    model = peft_model()
    chain, optimizer = chained(model, Schedule(length=3), 9)
    ours = []
    drawn = [[target.parameters[0].detach().clone() for target in chain.targets]]
    for _ in range(3):
        ours += train(model, chain, optimizer, 3, first=len(ours))
        drawn.append([target.parameters[0].detach().clone() for target in chain.targets])

    plain, theirs = base_model(), []
    for link in range(3):
        wrapped = get_peft_model(plain, LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"])).train()
        targets = targets_of(wrapped, "default")
        with torch.no_grad():
            for target, lora_A in zip(targets, drawn[link], strict=True):
                target.parameters[0].copy_(lora_A)
        theirs += train(wrapped, None, adamw(wrapped), 3, first=len(theirs))
        plain = wrapped.merge_and_unload()
    torch.testing.assert_close(torch.tensor(ours), torch.tensor(theirs), rtol=1e-6, atol=0)
    assert ours[0] == theirs[0]


def test_a_rank_change_survives_a_graph_that_is_still_alive() -> None:
    model = peft_model()
    chain, optimizer = chained(model, Schedule(knot_steps=(1, 2), ranks=(4, 2, 1)), 4)
    kept = []
    for step in range(4):
        batch = tokens(step)
        loss = model(input_ids=batch, labels=batch).loss
        kept.append(loss)  # holds the old graph, and with it the accumulator of the old shape
        loss.backward()
        optimizer.step()
        chain.step()
        optimizer.zero_grad()
    assert [target.rank for target in chain.targets] == [1] * 4
    assert model.peft_config["default"].r == 1
    assert chain.targets[0].layer.scaling["default"] == 8


def test_a_leftover_gradient_does_not_reach_the_next_link() -> None:
    model = peft_model()
    chain, _ = chained(model, Schedule(length=2), 4)
    batch = tokens()
    model(input_ids=batch, labels=batch).loss.backward()
    chain.tie()
    assert all(parameter.grad is None for target in chain.targets for parameter in target.parameters)


def test_fresh_draws_differ_by_link_and_leave_other_random_numbers_alone() -> None:
    model = peft_model()
    chain, _ = chained(model, Schedule(length=3), 6)
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    chain.tie()
    first = chain.targets[0].parameters[0].detach().clone()
    chain.tie()
    assert torch.equal(torch.rand(3), expected)
    assert not torch.equal(first, chain.targets[0].parameters[0])


def test_the_draw_depends_on_the_seed_and_not_on_the_history() -> None:
    def drawn(seed: int, noise: int) -> torch.Tensor:
        model = peft_model()
        chain, _ = chained(model, Schedule(length=2), 6, seed=seed)
        torch.rand(noise)
        chain.tie()
        return chain.targets[-1].parameters[0].detach()

    assert torch.equal(drawn(1, 0), drawn(1, 5))
    assert not torch.equal(drawn(1, 0), drawn(2, 0))


def test_the_same_A_is_used_again_if_asked_for() -> None:
    model = peft_model()
    first = [target.parameters[0].detach().clone() for target in targets_of(model, "default")]
    chain, optimizer = chained(model, Schedule(length=2, ranks=(4, 2), initialization="same"), 6)
    train(model, chain, optimizer, 3)
    for target, lora_A in zip(chain.targets, first, strict=True):
        assert torch.equal(target.parameters[0], lora_A[:2])


@pytest.mark.parametrize(
    ("policy", "expected"),
    [("continue", [1.0, 0.75, 0.5, 0.25, 0.0]), ("restart", [1.0, 0.5, 1.0, 0.5, 0.0])],
)
def test_learning_rate_policy(policy: str, expected: list[float]) -> None:
    model = peft_model()
    optimizer = adamw(model, 1.0)
    scheduler = LambdaLR(optimizer, lambda step: 1 - step / 4)
    Chain(model, Schedule(length=2, learning_rate=policy), total_steps=4, optimizer=optimizer, scheduler=scheduler)
    rates = [scheduler.get_last_lr()[0]]
    for _ in range(4):
        optimizer.step()
        scheduler.step()
        rates.append(scheduler.get_last_lr()[0])
    assert rates == pytest.approx(expected)


def test_autocast_changes_nothing_about_the_knot() -> None:
    model = peft_model()
    chain, optimizer = chained(model, Schedule(length=2), 6)
    train(model, None, optimizer, 3)
    wanted = chain.delta(chain.targets[0].name)
    with torch.autocast("cpu", torch.bfloat16):
        chain.tie()
    assert torch.equal(chain.targets[0].past.product(), wanted)
    original = dict(base_model().named_modules())["model.layers.0.self_attn.q_proj"].weight
    torch.testing.assert_close(chain.targets[0].layer.get_base_layer().weight, original + wanted, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(("fold", "dora"), [("merge", False), ("stack", False), ("merge", True)])
def test_memory_stays_flat_over_many_knots(fold: str, dora: bool) -> None:
    model = peft_model(use_dora=dora)
    chain, optimizer = chained(model, Schedule(length=61, fold=fold), 61)

    def held() -> int:
        gc.collect()
        tensors = [found for found in gc.get_objects() if issubclass(type(found), torch.Tensor)]
        return sum({tensor.data_ptr(): tensor.untyped_storage().nbytes() for tensor in tensors}.values())

    train(model, chain, optimizer, 10)
    after_ten = held()
    train(model, chain, optimizer, 50, first=10)
    assert chain.link == 60
    assert held() <= after_ten * 1.01


def test_lora_bias_is_folded_with_the_link() -> None:
    model = peft_model("opt", lora_bias=True)
    chain, optimizer = chained(model, Schedule(length=2), 8)
    train(model, None, optimizer, 4)
    before = logits(model)
    chain.tie()
    assert chain.targets[0].past.bias.abs().max() > 0
    torch.testing.assert_close(logits(model), before, rtol=1e-5, atol=1e-6)
