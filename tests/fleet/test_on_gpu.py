"""What only a GPU computes: ragged attention, compiled layers and recorded steps, in bfloat16. CI skips it, having
none; ``pytest tests/fleet/test_on_gpu.py`` on a machine that has one."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from colarepro.chain import Schedule
from colarepro.fleet.fleet import Fleet
from colarepro.results import Record
from colarepro.runs import RunConfig, perform

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning"),
]


@pytest.fixture
def config(untrained: str, miniature: Path) -> RunConfig:
    """Eighteen steps in three epochs, of one shape nearly all, so that most are recorded; knots among them."""
    return RunConfig(
        task="rte",
        model=untrained,
        data_dir=miniature,
        dtype="bfloat16",
        epochs=3,
        train_examples=48,
        dev_examples=16,
        test_examples=20,
        learning_rate=3e-3,
        chain=Schedule(knot_steps=(7, 13)),
    )


def assert_close(one: Record, other: Record) -> None:
    """As close as bfloat16 is, whose numbers are 2^-8 apart."""
    assert (one.status, other.status) == ("done", "done")
    for curve in ("loss", "dev_loss"):
        np.testing.assert_allclose(one.curves[curve], other.curves[curve], rtol=2**-5, err_msg=curve)
    assert one.costs["tokens"] == other.costs["tokens"]


@pytest.mark.parametrize("method", ["lora", "cola", "lora-restart", "rac-lora", "asym-lora"])
def test_a_run_is_what_the_cpu_computes_in_float32(config: RunConfig, method: str) -> None:
    config = dataclasses.replace(config, method=method)
    configs = [config, dataclasses.replace(config, seed=1, learning_rate=1e-4)]
    for together, one in zip(Fleet(configs, "cuda:0").sail(), configs, strict=True):
        exact = perform(dataclasses.replace(one, dtype="float32"))
        assert_close(together, exact)
        assert_close(perform(one, "cuda:0"), exact)


def test_full_fine_tuning_is_what_the_trainer_computes_on_the_cpu(config: RunConfig) -> None:
    """In bfloat16 as well: products see its rounded weights, which small updates do not move, so that float32's losses
    are soon others, by 4 % at a rate of 1e-5 and 17 % at 1e-4."""
    configs = [
        dataclasses.replace(config, method="full", learning_rate=rate, seed=seed)
        for seed, rate in enumerate((3e-5, 1e-5))
    ]
    for together, one in zip(Fleet(configs, "cuda:0").sail(), configs, strict=True):
        exact = perform(one)
        assert_close(together, exact)
        assert_close(perform(one, "cuda:0"), exact)


def test_float32_equals_the_cpu(config: RunConfig) -> None:
    config = dataclasses.replace(config, dtype="float32")
    exact, (found,) = perform(config), Fleet([config], "cuda:0").sail()
    np.testing.assert_allclose(found.curves["loss"], exact.curves["loss"], rtol=1e-4)
    assert found.predictions == exact.predictions


@pytest.mark.parametrize("rate", [1e25, 1e38])
def test_a_run_that_diverges_leaves_the_others_untouched(config: RunConfig, rate: float) -> None:
    first, last = dataclasses.replace(config, method="cola"), dataclasses.replace(config, method="lora")
    records = Fleet([first, dataclasses.replace(config, learning_rate=rate), last], "cuda:0").sail()
    assert records[1].status == "diverged"
    for together, alone in zip(records[::2], (first, last), strict=True):
        assert_close(together, perform(alone, "cuda:0"))


def test_the_trainer_computes_the_same(config: RunConfig, tmp_path: Path) -> None:
    """Which is where a run goes that is kept."""
    config = dataclasses.replace(config, method="cola")
    assert_close(perform(config, "cuda:0", keep=tmp_path / "kept"), perform(config, "cuda:0"))
