"""What a chain refuses, in one sentence, with model, optimizer and chain unharmed."""

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch.optim.lr_scheduler import ExponentialLR

from colarepro.chain import Chain, Schedule, export_merged
from colarepro.errors import ColaError
from tests.chain.models import adamw, base_model, chained, logits, peft_model, train


def snapshot(model: Any, chain: Chain, optimizer: torch.optim.Optimizer) -> list[Any]:
    tensors = [tensor.clone() for tensor in model.state_dict().values()]
    tensors += [value.clone() for state in optimizer.state.values() for value in state.values()]
    return [chain.link, *[tensor.nan_to_num(nan=12345.0) for tensor in tensors]]


def assert_same(before: list[Any], after: list[Any]) -> None:
    assert before[0] == after[0]
    assert len(before) == len(after)
    assert all(torch.equal(old, new) for old, new in zip(before[1:], after[1:], strict=True))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("fold", ["merge", "stack"])
def test_a_delta_that_is_not_finite(value: float, fold: str) -> None:
    model = peft_model()
    chain, optimizer = chained(model, Schedule(length=3, fold=fold), 9)
    train(model, None, optimizer, 2)
    chain.tie()
    train(model, None, optimizer, 2)
    with torch.no_grad():
        chain.targets[-1].parameters[1][0, 0] = value
    before = snapshot(model, chain, optimizer)
    with pytest.raises(ColaError, match=r"Link 1 of .*v_proj holds a NaN or an infinity"):
        chain.tie()
    assert_same(before, snapshot(model, chain, optimizer))


def test_a_merge_that_overflows_half_precision() -> None:
    model = peft_model(dtype=torch.float16)
    chain, optimizer = chained(model, Schedule(length=2), 4)
    with torch.no_grad():  # the last target overflows after the others have merged
        for target in chain.targets:
            target.parameters[1].fill_(0.1)
        chain.targets[-1].parameters[1].fill_(1e6)
    before = snapshot(model, chain, optimizer)
    with pytest.raises(ColaError, match="overflows"):
        chain.tie()
    assert_same(before, snapshot(model, chain, optimizer))


def test_a_schedule_whose_ranks_outgrow_the_first_link_s_A() -> None:
    with pytest.raises(ColaError, match=r"Ranks \(1, 4\) grow, but initialization='same' has only the first link's A"):
        Schedule(knot_steps=(2,), ranks=(1, 4), initialization="same")


def test_a_knot_after_more_epochs_than_a_number_holds() -> None:
    with pytest.raises(ColaError, match=r"A knot falls on step .*; expected one inside the run, from 1 to 8"):
        Schedule(knot_epochs=(1e308,)).resolve(9, 100)


def quantised(dtype: torch.dtype = torch.int8) -> Any:
    """One of its base weights is."""
    model = peft_model()
    layer = model.base_model.model.model.layers[1].self_attn.v_proj
    layer.base_layer.weight = torch.nn.Parameter(layer.base_layer.weight.detach().to(dtype), requires_grad=False)
    return model


@pytest.mark.parametrize("dtype", [torch.int8, torch.float8_e4m3fn])
def test_a_quantised_base(dtype: torch.dtype) -> None:
    with pytest.raises(ColaError, match=r"layers.1.self_attn.v_proj has a quantised .* use fold='stack'"):
        chained(quantised(dtype), Schedule(length=2), 4)
    chained(quantised(dtype), Schedule(length=2, fold="stack"), 4)


@pytest.mark.parametrize("schedule", [Schedule(length=1), Schedule(length=2, fold="none")])
def test_a_chain_that_merges_nothing_takes_any_base(schedule: Schedule) -> None:
    chain, _ = chained(quantised(), schedule, 4)
    assert len(chain.targets) == 4


@pytest.mark.parametrize("fold", ["stack", "none"])
def test_a_quantised_base_has_no_merged_checkpoint(fold: str, tmp_path: Path) -> None:
    chain, _ = chained(quantised(), Schedule(length=2, fold=fold), 4)
    with pytest.raises(ColaError, match=r"has a quantised .*merges exactly; use export_adapter\."):
        export_merged(chain, tmp_path)


@pytest.mark.parametrize("fold", ["stack", "merge", "none"])
def test_a_model_that_computes_with_another_chain_s_past(fold: str) -> None:
    """Its past would be lost, or count twice."""
    model = peft_model()
    chain, optimizer = chained(model, Schedule(length=3, fold="stack"), 9)
    train(model, chain, optimizer, 4)
    before = snapshot(model, chain, optimizer)
    with pytest.raises(ColaError, match=r"q_proj still computes with another chain's past; expected a model built"):
        Chain(model, Schedule(length=2, fold=fold), total_steps=4)
    assert_same(before, snapshot(model, chain, optimizer))
    train(model, chain, optimizer, 4)


def test_parameters_that_are_no_layer_s_weight() -> None:
    lora: dict[str, Any] = {"target_modules": [], "target_parameters": ["q_proj.weight"]}
    with pytest.raises(ColaError, match="fold='stack' keeps past links as two factors"):
        Chain(peft_model(**lora), Schedule(length=2, fold="stack"), total_steps=4)


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.RMSprop])
def test_pruning_moments_that_an_optimizer_has_not(optimizer: type[torch.optim.Optimizer]) -> None:
    model = peft_model()
    mover = optimizer([p for p in model.parameters() if p.requires_grad], lr=0.1, momentum=0.9)  # type: ignore[call-arg]
    chain = Chain(model, Schedule(length=2, reset="prune"), total_steps=4, optimizer=mover)
    train(model, None, mover, 2)
    before = snapshot(model, chain, mover)
    with pytest.raises(ColaError, match=rf"prunes Adam's two moments, but {optimizer.__name__} keeps others"):
        chain.tie()
    assert_same(before, snapshot(model, chain, mover))


@pytest.mark.parametrize(
    ("made", "here", "message"),
    [
        ({}, {"r": 2}, "made with r 4, but this model's adapter has 2"),
        ({}, {"lora_alpha": 64}, "made with lora_alpha 8, but this model's adapter has 64"),
        ({}, {"use_rslora": True}, "made with use_rslora False, but this model's adapter has True"),
        ({}, {"lora_bias": True}, "made with lora_bias False, but this model's adapter has True"),
        ({}, {"bias": "lora_only"}, r"holds no .*q_proj.base_layer.bias, which is trained here beside the adapter"),
    ],
)
def test_a_state_of_another_adapter(made: dict, here: dict, message: str, tmp_path: Path) -> None:
    first = peft_model("opt", **made)
    chain, optimizer = chained(first, Schedule(length=2), 6)
    train(first, chain, optimizer, 4)
    chain.save(tmp_path)
    other = peft_model("opt", **here)
    chain, optimizer = chained(other, Schedule(length=2), 6)
    before = snapshot(other, chain, optimizer)
    with pytest.raises(ColaError, match=message):
        chain.load(tmp_path)
    assert_same(before, snapshot(other, chain, optimizer))


def test_a_tied_target() -> None:
    model = base_model("opt")
    with pytest.warns(UserWarning, match="tie"):
        wrapped = get_peft_model(model, LoraConfig(r=2, target_modules=["lm_head", "q_proj"]))
    with pytest.raises(ColaError, match=r"lm_head shares its weight with another module .*embed_tokens"):
        chained(wrapped, Schedule(length=2), 4)


def test_targets_that_match_nothing() -> None:
    with pytest.raises(ColaError, match="'other' matches no layer"):
        Chain(peft_model(), Schedule(length=2), total_steps=4, adapter="other")


@pytest.mark.parametrize(
    "lora",
    [{"use_dora": True}, {"init_lora_weights": "pissa"}, {"target_modules": ["embed_tokens"]}],
    ids=["variant", "changed base", "embedding"],
)
def test_stacking_what_is_no_product(lora: dict) -> None:
    with pytest.raises(ColaError, match="fold='stack' keeps past links as two factors"):
        Chain(peft_model(**lora), Schedule(length=2, fold="stack"), total_steps=4)


def test_an_optimizer_of_another_model() -> None:
    with pytest.raises(ColaError, match="does not hold the adapter"):
        Chain(peft_model(), Schedule(length=2), total_steps=4, optimizer=adamw(peft_model()))


def test_knots_outside_training() -> None:
    model = peft_model()
    chain, optimizer = chained(model, Schedule(length=2), 4)
    train(model, None, optimizer, 1)
    before = logits(model)
    model.eval()
    with pytest.raises(ColaError, match="evaluation mode"):
        chain.tie()
    model.train()
    model.merge_adapter()
    with pytest.raises(ColaError, match="merged or disabled"):
        chain.tie()
    model.unmerge_adapter()
    with model.disable_adapter(), pytest.raises(ColaError, match="merged or disabled"):
        chain.tie()
    torch.testing.assert_close(logits(model), before, rtol=1e-5, atol=1e-6)
    chain.tie()
    with pytest.raises(ColaError, match="2 links is on its last"):
        chain.tie()


def test_ranks_that_do_not_fit() -> None:
    with pytest.raises(ColaError, match="Rank 17 is more than"):
        Chain(peft_model(r=17), Schedule(length=2, ranks=(17, 4)), total_steps=4)
    with pytest.raises(ColaError, match="has rank 4, but the first link wants 8"):
        Chain(peft_model(), Schedule(length=2, ranks=(8, 4)), total_steps=4)
    with pytest.raises(ColaError, match="only the first link's A"):
        Chain(peft_model(), Schedule(length=2, ranks=(4, 8), initialization="same"), total_steps=4)
    with pytest.raises(ColaError, match="without rank_pattern"):
        Chain(peft_model(rank_pattern={"q_proj": 2}), Schedule(length=2, ranks=(4, 2)), total_steps=4)


def test_a_scheduler_that_cannot_restart() -> None:
    model = peft_model()
    optimizer = adamw(model)
    with pytest.raises(ColaError, match="not a ExponentialLR"):
        Chain(
            model,
            Schedule(length=2, learning_rate="restart"),
            total_steps=4,
            optimizer=optimizer,
            scheduler=ExponentialLR(optimizer, 0.9),
        )


def test_an_unknown_target_name() -> None:
    with pytest.raises(ColaError, match="no target 'k_proj'"):
        Chain(peft_model(), Schedule(length=2), total_steps=4).delta("k_proj")
    with pytest.raises(ColaError, match=r"'q_proj' is the end of 2 targets' names; expected one's, as .*0.*q_proj"):
        Chain(peft_model(), Schedule(length=2), total_steps=4).delta("q_proj")
