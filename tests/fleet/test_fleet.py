"""A run in a fleet gives the record that it gives alone."""

import dataclasses
import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch._dynamo.utils import counters
from transformers import AutoModelForCausalLM, AutoTokenizer

from colarepro.chain import Schedule
from colarepro.fleet import fleet as voyage
from colarepro.fleet.fleet import Fleet
from colarepro.fleet.shared import compile_layers
from colarepro.methods import Adapter
from colarepro.results import Record, Store
from colarepro.runs import RunConfig, perform
from colarepro.runs.run_all import run_all
from tests.runs.test_perform import comparable

TWO_KNOTS = Schedule(knot_steps=(3, 5))


@pytest.fixture
def config(untrained: str, miniature: Path) -> RunConfig:
    """Nine steps in three epochs."""
    return RunConfig(
        task="rte",
        model=untrained,
        data_dir=miniature,
        epochs=3,
        train_examples=24,
        dev_examples=16,
        test_examples=20,
        learning_rate=3e-3,
        chain=TWO_KNOTS,
    )


def mixed(config: RunConfig) -> list[RunConfig]:
    """Every adapter arm, and every setting that a fleet's runs may differ in."""
    changes = [
        {"method": "lora"},
        {"method": "lora", "learning_rate": 1e-3, "seed": 5},
        {"method": "lora", "data_seed": 3},
        {"method": "cola"},
        {"method": "cola", "seed": 1, "data_seed": 1},
        {"method": "cola", "chain": Schedule(knot_steps=(3, 5), ranks=(8, 4, 2))},
        {"method": "cola", "chain": Schedule(knot_steps=(3, 5), initialization="same")},
        {"method": "cola", "chain": Schedule(knot_steps=(4,), learning_rate="restart")},
        {"method": "cola", "chain": Schedule(knot_steps=(4,), learning_rate="rewarm", warmup=2)},
        {"method": "cola", "chain": Schedule(length=4), "adapter": Adapter(rank=2, alpha=3, initialization="gaussian")},
        {"method": "cola", "adapter": Adapter(variant="rslora")},
        {"method": "lora-restart"},
        {"method": "lora-rank-sum"},
        {"method": "relora"},
        {"method": "asym-lora"},
        {"method": "rac-lora"},
    ]
    return [dataclasses.replace(config, **change) for change in changes]


def assert_equal(together: Record, alone: Record) -> None:
    """All of a record that neither pace nor padding decides; losses to 1e-5, predictions exactly."""
    assert together.config == alone.config
    assert (together.status, together.reason) == (alone.status, alone.reason)
    assert together.digests == alone.digests
    for name, curve in alone.curves.items():
        np.testing.assert_allclose(together.curves[name], curve, rtol=1e-5, err_msg=name)
    assert together.predictions == alone.predictions
    assert together.scores == pytest.approx(alone.scores, rel=1e-5)
    for name in {"parameters", "parameters_trained", "tokens"} & set(alone.costs):
        assert together.costs[name] == alone.costs[name], name


def test_every_arm_gives_the_record_that_it_gives_alone(config: RunConfig) -> None:
    configs = mixed(config)
    for together, one in zip(Fleet(configs, "cpu").sail(), configs, strict=True):
        assert_equal(together, perform(one))


def test_other_targets(config: RunConfig) -> None:
    """Also those that OPT feeds without a batch dimension."""
    config = dataclasses.replace(config, adapter=Adapter(rank=3, targets=("k_proj", "fc1", "fc2")))
    configs = [dataclasses.replace(config, seed=seed) for seed in (0, 1)]
    for together, one in zip(Fleet(configs, "cpu").sail(), configs, strict=True):
        assert_equal(together, perform(one))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")  # in torch's compiler itself
def test_compiled_layers_compute_the_same_for_all_sizes(config: RunConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU. A layer is compiled as the lowest one, as one above it, and without gradients: for nothing else."""
    fleets = [
        [dataclasses.replace(config, seed=seed) for seed in range(3)],
        [dataclasses.replace(config, task="wic", chain=Schedule(length=3), seed=seed) for seed in range(2)],
    ]
    plain = [Fleet(configs, "cpu").sail() for configs in fleets]
    shared = voyage.share

    def share(model: Any, *rest: Any) -> Any:
        stack = shared(model, *rest)
        compile_layers(model)
        return stack

    monkeypatch.setattr(voyage, "share", share)
    counters.clear()
    for records, configs in zip(plain, fleets, strict=True):
        for compiled, eager in zip(Fleet(configs, "cpu").sail(), records, strict=True):
            assert_equal(compiled, eager)
    assert counters["frames"] == {"total": 3, "ok": 3}


def test_full_fine_tuning_gives_the_record_that_it_gives_alone(config: RunConfig) -> None:
    """Also beside a run that diverges, and over data that another run has not drawn."""
    changes = [{}, {"learning_rate": 1e-3, "seed": 2}, {"learning_rate": 1e30}, {"data_seed": 1}]
    configs = [dataclasses.replace(config, method="full", **change) for change in changes]
    records = Fleet(configs, "cpu").sail()
    assert [record.status for record in records] == ["done", "done", "diverged", "done"]
    for together, one in zip(records, configs, strict=True):
        assert_equal(together, perform(one))


@pytest.mark.parametrize("task", ["cb", "sst2", "wsc", "wic", "boolq", "multirc"])
def test_every_task(config: RunConfig, task: str) -> None:
    """Prompts of all lengths, up to three labels, a last batch that is not full."""
    configs = [
        dataclasses.replace(config, task=task, method=method, train_examples=21, epochs=2, seed=seed)
        for method in ("lora", "cola")
        for seed in (0, 1)
    ]
    for together, one in zip(Fleet(configs, "cpu").sail(), configs, strict=True):
        assert_equal(together, perform(one))


@pytest.mark.parametrize("rate", [1e25, 1e38, 3e38])
def test_a_run_that_diverges_leaves_the_others_untouched(config: RunConfig, rate: float) -> None:
    """Also one whose values are beyond float32 after a step: zero times infinity is not zero."""
    configs = [
        dataclasses.replace(config, method="cola"),
        dataclasses.replace(config, method="lora", learning_rate=rate),
        dataclasses.replace(config, method="lora"),
    ]
    records = Fleet(configs, "cpu").sail()
    assert [record.status for record in records] == ["done", "diverged", "done"]
    for together, one in zip(records, configs, strict=True):
        assert_equal(together, perform(one))


def killed(configs: list[RunConfig], folder: Path, epoch: int) -> None:
    """Sail in a process of its own that is killed after so many epochs."""

    def run() -> None:
        saves: list[int] = []
        original = Fleet._save

        def save(fleet: Fleet, place: Path, steps: int) -> None:
            original(fleet, place, steps)
            saves.append(steps)
            if len(saves) == epoch:
                os.kill(os.getpid(), signal.SIGKILL)

        Fleet._save = save  # type: ignore[method-assign]
        voyage.SAVED_AFTER = 0.0
        Fleet(configs, "cpu").sail(folder)

    process = multiprocessing.get_context("fork").Process(target=run)
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL


@pytest.mark.parametrize("epoch", [1, 2, 3])
def test_a_killed_fleet_goes_on_as_if_nothing_had_been(
    config: RunConfig, epoch: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configs = [each for each in mixed(config) if each.method in ("cola", "relora", "lora-restart", "rac-lora")]
    straight = Fleet(configs, "cpu").sail()
    killed(configs, tmp_path, epoch)
    steps: list[int] = []
    original = Fleet._step
    monkeypatch.setattr(
        Fleet, "_step", lambda fleet, step, batches: (steps.append(step), original(fleet, step, batches))
    )
    again = Fleet(configs, "cpu").sail(tmp_path)
    assert [comparable(record) for record in again] == [comparable(record) for record in straight]
    assert steps == list(range(3 * epoch, 9))


def test_a_sweep_sails_in_fleets(config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What can sail together does, in fleets of the size asked for; the rest runs alone; records are the same."""
    configs = [
        *(dataclasses.replace(config, method="lora", seed=seed) for seed in range(3)),
        dataclasses.replace(config, method="lora", epochs=2),
        dataclasses.replace(config, method="full"),
        dataclasses.replace(config, method="zero-shot"),
        dataclasses.replace(config, adapter=Adapter(dropout=0.1)),
    ]
    sizes: list[int] = []
    original = Fleet.__init__

    def counted(fleet: Fleet, runs: list[RunConfig], device: str) -> None:
        sizes.append(len(runs))
        original(fleet, runs, device)

    monkeypatch.setattr(Fleet, "__init__", counted)
    records = run_all(configs, Store(tmp_path), fleet=2)
    assert [record.status for record in records] == 7 * ["done"]
    assert sizes == [2]  # three runs in fleets of two and one, and one is no fleet
    for together, one in zip(records, configs, strict=True):
        assert_equal(together, perform(one))
    assert not list((tmp_path / "unfinished").iterdir())


def test_what_cannot_sail_together_runs_alone(
    config: RunConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Here an attention with dropout, which shows only when the model is there."""
    model = AutoModelForCausalLM.from_pretrained(config.model)
    model.config.attention_dropout = 0.5
    model.save_pretrained(tmp_path / "model")
    AutoTokenizer.from_pretrained(config.model).save_pretrained(tmp_path / "model")
    configs = [dataclasses.replace(config, model=str(tmp_path / "model"), seed=seed) for seed in (0, 1)]
    records = run_all(configs, Store(tmp_path / "out"), fleet=2)
    assert [record.status for record in records] == ["done", "done"]
    assert "dropout" in capsys.readouterr().err
