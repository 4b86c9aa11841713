"""A run in a fleet gives the record that it gives alone."""

import dataclasses
import multiprocessing
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch._dynamo.utils import counters
from transformers import AutoModelForCausalLM, AutoTokenizer

from colarepro.chain import Schedule
from colarepro.errors import ColaError, UnwrittenError
from colarepro.fleet import fleet as voyage
from colarepro.fleet import size
from colarepro.fleet.arm import arm_of
from colarepro.fleet.fleet import Fleet
from colarepro.fleet.probe import Probe
from colarepro.fleet.shared import compile_layers
from colarepro.fleet.size import fleet_size
from colarepro.methods import Adapter
from colarepro.results import Record, Store
from colarepro.results.unfinished import STATE
from colarepro.runs import RunConfig, perform
from colarepro.runs.material import splits_of
from colarepro.runs.run_all import _units, run_all
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
        {"method": "cola", "chain": Schedule(knot_steps=(3, 5), fold="stack")},
        {"method": "cola", "chain": Schedule(knot_steps=(3, 5), fold="none")},
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


def test_a_past_link_of_higher_rank(config: RunConfig) -> None:
    """Its rows and those that it moves to at the knot overlap."""
    config = dataclasses.replace(config, method="cola", chain=Schedule(knot_steps=(3,), ranks=(12, 4)))
    (found,) = Fleet([config], "cpu").sail()
    assert_equal(found, perform(config))


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
    original = Probe.check

    def check(probe: Probe, model: Any, runs: int) -> None:
        original(probe, model, runs)
        compile_layers(model)

    monkeypatch.setattr(Probe, "check", check)
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


def interrupted_after_an_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    original = Fleet._save

    def save(fleet: Fleet, folder: Path, steps: int) -> None:
        original(fleet, folder, steps)
        raise KeyboardInterrupt

    monkeypatch.setattr(voyage, "SAVED_AFTER", 0.0)
    monkeypatch.setattr(Fleet, "_save", save)


def steps_of(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Numbers of the steps that fleets take from now on."""
    steps: list[int] = []
    original = Fleet._step
    monkeypatch.setattr(
        Fleet, "_step", lambda fleet, step, batches: (steps.append(step), original(fleet, step, batches))
    )
    return steps


def test_an_interrupted_sweep_goes_on(config: RunConfig, tmp_path: Path) -> None:
    configs = [dataclasses.replace(config, seed=seed) for seed in (0, 1)]
    with pytest.MonkeyPatch.context() as monkeypatch:
        interrupted_after_an_epoch(monkeypatch)
        with pytest.raises(KeyboardInterrupt):
            run_all(configs, Store(tmp_path), fleet=2)
    with pytest.MonkeyPatch.context() as monkeypatch:
        steps = steps_of(monkeypatch)
        records = run_all(configs, Store(tmp_path), fleet=2)
    assert steps == list(range(3, 9))
    for record, one in zip(records, configs, strict=True):
        assert_equal(record, perform(one))
    assert not list((tmp_path / "unfinished").iterdir())


def test_a_fleet_whose_records_cannot_be_written_is_not_trained_again(
    config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> Path:
        raise UnwrittenError("The record could not be written: No space left on device.")

    configs = [dataclasses.replace(config, seed=seed) for seed in (0, 1)]
    monkeypatch.setattr(voyage, "SAVED_AFTER", 0.0)
    with pytest.MonkeyPatch.context() as broken:
        broken.setattr(Store, "put", full)
        with pytest.raises(UnwrittenError):
            run_all(configs, Store(tmp_path), fleet=2)
    steps = steps_of(monkeypatch)
    assert [record.status for record in run_all(configs, Store(tmp_path), fleet=2)] == ["done", "done"]
    assert not steps


def test_a_fleet_does_not_go_on_upon_other_weights(config: RunConfig, tmp_path: Path) -> None:
    shutil.copytree(config.model, tmp_path / "model")
    configs = [dataclasses.replace(config, model=str(tmp_path / "model"), seed=seed) for seed in (0, 1)]
    killed(configs, tmp_path / "work", 1)
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    with torch.no_grad():
        model.get_input_embeddings().weight.mul_(1.1)
    model.save_pretrained(tmp_path / "model")
    for again, one in zip(Fleet(configs, "cpu").sail(tmp_path / "work"), configs, strict=True):
        assert_equal(again, perform(one))


def test_a_state_of_another_layout_is_not_taken_up(config: RunConfig, tmp_path: Path) -> None:
    """As an earlier version has left it."""
    configs = [dataclasses.replace(config, method="cola", seed=seed) for seed in (0, 1)]
    killed(configs, tmp_path, 2)
    with safe_open(tmp_path / STATE, framework="pt") as file:
        tensors, metadata = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118
    save_file({name: tensor for name, tensor in tensors.items() if name != "computed"}, tmp_path / STATE, metadata)
    for again, one in zip(Fleet(configs, "cpu").sail(tmp_path), configs, strict=True):
        assert_equal(again, perform(one))


def test_a_rank_that_a_layer_cannot_hold(config: RunConfig) -> None:
    chain = Schedule(knot_steps=(3,), ranks=(8, 200))
    with pytest.raises(ColaError, match=r"Rank 200 is more than .* can hold, whose weight is 96 × 96"):
        Fleet([dataclasses.replace(config, chain=chain)], "cpu")


def test_a_run_that_cannot_be_does_not_keep_others_from_theirs(config: RunConfig, tmp_path: Path) -> None:
    """Also where fleets are sized."""
    late = dataclasses.replace(config, chain=Schedule(knot_steps=(5000,)))

    def size(configs: list[RunConfig], device: str) -> int:
        return len([arm_of(each, 24) for each in configs])

    assert list(_units([config, late], {config, late}, None, "cpu", size)) == [[config], [late]]


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


def test_chunks_in_which_not_all_runs_have_a_prompt(config: RunConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    configs = [dataclasses.replace(config, seed=seed, data_seed=seed) for seed in (0, 1, 2)]
    whole = Fleet(configs, "cpu").sail()
    monkeypatch.setattr(voyage, "JUDGED_TOKENS", 200)
    for pieces, together in zip(Fleet(configs, "cpu").sail(), whole, strict=True):
        assert_equal(pieces, together)


def test_dropout_of_the_model_is_drawn_in_training_alone(config: RunConfig, tmp_path: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(config.model)
    model.config.dropout = 0.3
    model.save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(config.model).save_pretrained(tmp_path)
    configs = [dataclasses.replace(config, model=str(tmp_path), seed=seed, learning_rate=1e-30) for seed in (0, 1)]
    first, second = (Fleet(configs, "cpu").sail() for _ in range(2))
    assert [comparable(record) for record in first] == [comparable(record) for record in second]
    untouched = Fleet([dataclasses.replace(each, model=config.model) for each in configs], "cpu").sail()
    for dropped, plain in zip(first, untouched, strict=True):
        assert dropped.curves["dev_loss"] == pytest.approx(plain.curves["dev_loss"], rel=1e-6)
        assert dropped.curves["loss"] != pytest.approx(plain.curves["loss"], rel=1e-3)


def test_a_fleet_that_memory_does_not_hold_sails_in_halves(
    config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    original = Fleet.sail

    def sail(fleet: Fleet, *arguments: Any, **options: Any) -> list[Record]:
        sizes.append(len(fleet.arms))
        if len(fleet.arms) > 2:
            raise torch.cuda.OutOfMemoryError
        return original(fleet, *arguments, **options)

    monkeypatch.setattr(Fleet, "sail", sail)
    configs = [dataclasses.replace(config, seed=seed) for seed in range(5)]
    records = run_all(configs, Store(tmp_path), fleet=5)
    assert [record.status for record in records] == 5 * ["done"]
    assert sizes == [5, 2, 3, 1, 2]
    assert not list((tmp_path / "unfinished").iterdir())


def test_a_fleet_is_as_large_as_tokens_and_memory_allow(config: RunConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = AutoTokenizer.from_pretrained(config.model)
    prompts = [len(tokenizer(each.prompt)["input_ids"]) for each in splits_of(config).train]
    tokens = 8 * sum(prompts) / len(prompts)
    assert fleet_size([config], "cpu") == min(size.MOST, int(size.TOKENS / tokens))
    monkeypatch.setattr(size, "MOST", 3)
    assert fleet_size([config], "cpu") == 3
    arm = arm_of(config, 24)
    # Three links alike, in float32: one with gradient, moments and the best epoch's, all with a copy and its gradient.
    each = arm.counted.activations_of(1, round(tokens)) + (4 * 4 + 4 + 3 * 2 * 4) * arm.parameters_trained
    monkeypatch.setattr(size, "free_bytes", lambda _: 2.5 * each / size.SHARE)
    assert fleet_size([config], "cuda:0") == 2
    assert fleet_size([config], "cuda:0", processes=2) == 1
    low = dataclasses.replace(config, adapter=Adapter(rank=2))  # its six rows are filled up to eight that may train
    arm = arm_of(low, 24)
    each = arm.counted.activations_of(1, round(tokens)) + (4 * 4 + 3 * 4) * 4 * arm.parameters_trained
    for share, count in ((2.01, 2), (1.99, 1)):
        monkeypatch.setattr(size, "free_bytes", lambda _, share=share: share * each / size.SHARE)
        assert fleet_size([low], "cuda:0") == count


def test_links_are_trained_by_their_own_ranks(config: RunConfig) -> None:
    arm = arm_of(dataclasses.replace(config, chain=Schedule(knot_steps=(3, 5), ranks=(8, 4, 2))), 24)
    each = arm.trained_at(0) // 8
    assert [arm.trained_at(step) // each for step in (0, 2, 3, 4, 5, 8)] == [8, 8, 4, 4, 2, 2]
    assert arm.parameters_trained == 2 * each
