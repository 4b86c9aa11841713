"""Knots that isolate one ingredient: restart without merge, pruned moments, a learning rate that rises again."""

import copy

import numpy as np
import pytest
import torch
from torch.optim.lr_scheduler import LambdaLR

from colarepro.chain import Chain, Schedule
from colarepro.chain.moments import prune_moments
from tests.chain.models import adamw, chained, logits, peft_model, train


def test_without_a_fold_a_knot_restarts_the_optimizer_and_nothing_else() -> None:
    """Equal to plain LoRA with a new AdamW over the same parameters."""
    model = peft_model()
    chain, optimizer = chained(model, Schedule(length=2, fold="none"), 8)
    train(model, chain, optimizer, 4)
    assert not optimizer.state
    assert chain.link == 1
    plain = peft_model()
    train(plain, None, adamw(plain), 4)
    assert torch.equal(logits(model), logits(plain))
    train(model, chain, optimizer, 4, first=4)
    train(plain, None, adamw(plain), 4, first=4)
    assert torch.equal(logits(model), logits(plain))
    assert all(target.past is None for target in chain.targets)
    assert chain.delta(chain.targets[0].name).count_nonzero() > 0


def test_a_chain_without_a_fold_is_saved_and_taken_up_again(tmp_path: object) -> None:
    schedule = Schedule(length=2, fold="none")
    model = peft_model()
    chain, optimizer = chained(model, schedule, 8)
    train(model, chain, optimizer, 5)
    chain.save(str(tmp_path))
    again = peft_model()
    resumed, _ = chained(again, schedule, 8)
    resumed.load(str(tmp_path))
    assert (resumed.link, resumed.steps_done) == (1, 5)
    assert torch.equal(logits(again), logits(model))


@pytest.mark.parametrize("batch", [0, 1])
def test_pruning_zeroes_both_moments_where_the_first_is_small(batch: int) -> None:
    rng = np.random.default_rng(0)
    first, second = rng.standard_normal((3, 4, 5)), rng.random((3, 4, 5))
    moments = {"exp_avg": torch.tensor(first), "exp_avg_sq": torch.tensor(second), "step": torch.tensor(7.0)}
    prune_moments(moments, 0.75, batch=batch)
    rows = first.reshape(3, 20) if batch else first.reshape(1, 60)
    kept = np.zeros_like(rows, dtype=bool)
    for row, mask in zip(rows, kept, strict=True):
        mask[np.argsort(-np.abs(row))[: len(row) // 4]] = True
    kept = kept.reshape(first.shape)
    np.testing.assert_array_equal(moments["exp_avg"].numpy(), np.where(kept, first, 0))
    np.testing.assert_array_equal(moments["exp_avg_sq"].numpy(), np.where(kept, second, 0))
    assert moments["step"] == 7


def test_a_pruning_knot_keeps_adams_step_count_and_merges() -> None:
    model = peft_model()
    chain, optimizer = chained(model, Schedule(length=2, reset="prune", prune=0.9), 8)
    train(model, None, optimizer, 4)
    before = {id(p): copy.deepcopy(state) for p, state in optimizer.state.items()}
    chain.tie()
    assert chain.targets[0].past is not None
    for parameter, state in optimizer.state.items():
        assert state["step"] == before[id(parameter)]["step"] == 4
        zeros = int((state["exp_avg"] == 0).sum())
        assert zeros >= round(0.9 * parameter.numel())
        kept = state["exp_avg"] != 0
        assert torch.equal(state["exp_avg"][kept], before[id(parameter)]["exp_avg"][kept])


def test_the_learning_rate_rises_again_after_each_knot() -> None:
    model = peft_model()
    optimizer = adamw(model, 1.0)
    scheduler = LambdaLR(optimizer, lambda step: 1 - step / 10)
    schedule = Schedule(knot_steps=(3, 7), learning_rate="rewarm", warmup=3)
    Chain(model, schedule, total_steps=10, optimizer=optimizer, scheduler=scheduler)
    rates = [scheduler.get_last_lr()[0]]
    for _ in range(9):
        optimizer.step()
        scheduler.step()
        rates.append(scheduler.get_last_lr()[0])
    rise = [1, 1, 1, 1 / 4, 2 / 4, 3 / 4, 1, 1 / 4, 2 / 4, 3 / 4]
    assert rates == pytest.approx([(1 - step / 10) * share for step, share in enumerate(rise)])
