"""Many processes that share one run compute what one process does."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from colarepro.chain import Schedule
from colarepro.results import Record
from colarepro.runs import RunConfig, perform
from tests.ranked import on_ranks


@pytest.fixture
def config(untrained: str, miniature: Path) -> RunConfig:
    """Three steps an epoch, the last of 5 examples; knots inside and at the end of an epoch. Nothing divides by two."""
    return RunConfig(
        task="rte",
        model=untrained,
        data_dir=miniature,
        epochs=3,
        train_examples=21,
        dev_examples=13,
        test_examples=19,
        learning_rate=3e-3,
        chain=Schedule(knot_steps=(3, 5)),
    )


def assert_same_run(one: Record, many: Record) -> None:
    """Up to rounding, and what padding costs: a rank pads to its own longest prompt."""
    assert many.config == one.config
    assert many.digests == one.digests
    assert many.status == one.status == "done"
    assert many.predictions == one.predictions
    assert many.curves.keys() == one.curves.keys()
    for name in one.curves:
        np.testing.assert_allclose(many.curves[name], one.curves[name], rtol=1e-6, err_msg=name)
    assert many.scores.keys() == one.scores.keys()
    for name in one.scores:
        np.testing.assert_allclose(many.scores[name], one.scores[name], rtol=1e-6, err_msg=name)
    for name in ("tokens", "parameters", "parameters_trained"):
        assert many.costs[name] == one.costs[name]
    assert many.costs["flops_train"] <= one.costs["flops_train"]


@pytest.mark.parametrize("sharded", [False, True])
def test_two_ranks_are_one(config: RunConfig, sharded: bool, tmp_path: Path) -> None:
    one = perform(config)
    first, second = on_ranks(2, tmp_path, lambda: perform(config, sharded=sharded))
    assert_same_run(one, first)
    assert first.curves == second.curves
    assert first.predictions == second.predictions
    assert first.environment["processes"] == "2"
