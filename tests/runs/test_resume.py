"""A run that is killed and started again leaves the record of the undisturbed run, bit for bit."""

import dataclasses
import json
import multiprocessing
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from colarepro.chain import ChainCallback, Schedule
from colarepro.chain.chain import Chain
from colarepro.chain.factored import FactoredLinks
from colarepro.methods import Adapter
from colarepro.runs import RunConfig, checkpoints, perform
from colarepro.runs.checkpoints import MARK, MarkWhole, last_whole
from colarepro.runs.trainer import CandidateTrainer
from tests.runs.test_perform import comparable


@pytest.fixture
def config(untrained: str, miniature: Path) -> RunConfig:
    """Nine steps in three epochs, with dropout; knots inside and at the end of an epoch."""
    return RunConfig(
        task="rte",
        model=untrained,
        data_dir=miniature,
        epochs=3,
        train_examples=24,
        dev_examples=16,
        test_examples=20,
        learning_rate=1e-2,
        adapter=Adapter(dropout=0.2),
        chain=Schedule(knot_steps=(3, 5), ranks=(8, 4, 2)),
    )


def die(*_: object, **__: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def killed_at(count: int, owner: type, name: str, when: str) -> Callable[[pytest.MonkeyPatch], None]:
    """Kill the process before or after the ``count``-th call of a method."""

    def patch(monkeypatch: pytest.MonkeyPatch) -> None:
        original, calls = getattr(owner, name), []

        def wrapped(*arguments: object, **options: object) -> object:
            calls.append(1)
            if when == "before" and len(calls) == count:
                die()
            result = original(*arguments, **options)
            if when == "after" and len(calls) == count:
                die()
            return result

        monkeypatch.setattr(owner, name, wrapped)

    return patch


def half_a_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kill between writing the mark aside and renaming it."""
    monkeypatch.setattr(checkpoints.json, "dumps", die)


INSTANTS = {
    "in the first step": killed_at(1, CandidateTrainer, "compute_loss", "after"),
    "in a step of the second epoch": killed_at(8, CandidateTrainer, "compute_loss", "after"),
    "after the merge, before the step counts": killed_at(2, FactoredLinks, "_fold", "after"),
    "at a knot, before anything": killed_at(2, Chain, "tie", "before"),
    "after a knot": killed_at(2, Chain, "tie", "after"),
    "in the second save, before the chain": killed_at(2, ChainCallback, "on_save", "before"),
    "in the second save, before the mark": killed_at(2, MarkWhole, "on_save", "before"),
    "after the second save": killed_at(2, MarkWhole, "on_save", "after"),
    "between the mark and its name": half_a_mark,
    "in the test": killed_at(1, CandidateTrainer, "predict", "before"),
}


def killed(config: RunConfig, folder: Path, patch: Callable[[pytest.MonkeyPatch], None]) -> None:
    """Run in a process of its own that is killed on the way."""

    def run() -> None:
        with pytest.MonkeyPatch.context() as monkeypatch:
            patch(monkeypatch)
            perform(config, folder=folder)

    process = multiprocessing.get_context("fork").Process(target=run)
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one with every training step of this process."""
    taken: list[int] = []
    original = CandidateTrainer.training_step

    def counted(*arguments: Any, **options: Any) -> Any:
        taken.append(1)
        return original(*arguments, **options)

    monkeypatch.setattr(CandidateTrainer, "training_step", counted)
    return taken


@pytest.mark.parametrize(("instant", "left"), [*zip(INSTANTS, (9, 6, 6, 6, 6, 6, 6, 3, 9, 0), strict=True)])
def test_a_killed_run_goes_on_as_if_nothing_had_been(
    config: RunConfig, instant: str, left: int, tmp_path: Path, steps: list[int]
) -> None:
    """It takes the steps after the last whole checkpoint and no others; checkpoints are at steps 3, 6 and 9."""
    straight = perform(config)
    killed(config, tmp_path / "work", INSTANTS[instant])
    steps.clear()
    again = perform(config, folder=tmp_path / "work")
    assert comparable(again) == comparable(straight)
    assert len(steps) == left


@pytest.mark.parametrize("method", ["full", "lora", "lora-restart", "relora", "rac-lora"])
def test_every_kind_of_arm_is_taken_up_again(config: RunConfig, method: str, tmp_path: Path, steps: list[int]) -> None:
    config = dataclasses.replace(config, method=method, chain=Schedule(knot_steps=(5,)))
    straight = perform(config)
    killed(config, tmp_path / "work", INSTANTS["in a step of the second epoch"])
    steps.clear()
    again = perform(config, folder=tmp_path / "work")
    assert comparable(again) == comparable(straight)
    assert len(steps) == 6


def test_with_accumulation(config: RunConfig, tmp_path: Path, steps: list[int]) -> None:
    """Killed between two passes of one step; two passes a step, three steps an epoch."""
    config = dataclasses.replace(config, accumulation=2)
    straight = perform(config)
    killed(config, tmp_path / "work", killed_at(9, CandidateTrainer, "training_step", "after"))
    steps.clear()
    again = perform(config, folder=tmp_path / "work")
    assert comparable(again) == comparable(straight)
    assert len(steps) == 12


def test_a_run_that_is_killed_twice(config: RunConfig, tmp_path: Path) -> None:
    straight = perform(config)
    killed(config, tmp_path / "work", INSTANTS["in a step of the second epoch"])
    killed(config, tmp_path / "work", killed_at(3, CandidateTrainer, "compute_loss", "after"))
    assert comparable(perform(config, folder=tmp_path / "work")) == comparable(straight)


def test_half_written_checkpoints_are_not_taken(tmp_path: Path) -> None:
    for step, weights in ((3, "mine"), (6, "mine"), (9, ""), (12, "others")):
        (tmp_path / f"checkpoint-{step}").mkdir()
        if weights:
            (tmp_path / f"checkpoint-{step}" / MARK).write_text(json.dumps({"weights": weights}))
    assert last_whole(tmp_path, "mine") == tmp_path / "checkpoint-6"
    assert not (tmp_path / "checkpoint-9").exists()
    assert not (tmp_path / "checkpoint-12").exists()
    assert last_whole(tmp_path / "nothing", "mine") is None


@pytest.mark.parametrize("method", ["lora", "cola"])
def test_a_run_does_not_go_on_upon_other_weights(config: RunConfig, method: str, tmp_path: Path) -> None:
    """A model's folder may hold other weights by then."""
    copied = tmp_path / "model"
    shutil.copytree(config.model, copied)
    config = dataclasses.replace(config, method=method, model=str(copied))
    killed(config, tmp_path / "work", INSTANTS["after the second save"])
    model = AutoModelForCausalLM.from_pretrained(copied)
    with torch.no_grad():
        model.get_input_embeddings().weight.mul_(1.1)
    model.save_pretrained(copied)
    assert comparable(perform(config, folder=tmp_path / "work")) == comparable(perform(config))


@pytest.mark.parametrize("method", ["lora", "cola"])
def test_a_folder_that_was_moved(config: RunConfig, method: str, tmp_path: Path, steps: list[int]) -> None:
    """The Trainer's state names the best checkpoint by the place where it was."""
    config = dataclasses.replace(config, method=method)
    straight = perform(config)
    killed(config, tmp_path / "work", INSTANTS["in the test"])
    (tmp_path / "work").rename(tmp_path / "elsewhere")
    steps.clear()
    again = perform(config, folder=tmp_path / "elsewhere")
    assert comparable(again) == comparable(straight)
    assert not steps


@pytest.mark.parametrize("at", [5, 9])
def test_a_run_that_diverges_and_is_killed_diverges_again(
    config: RunConfig, at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Inside an epoch, and at the last step of all."""
    original = CandidateTrainer.training_step

    def poisoned(trainer: CandidateTrainer, *arguments: Any) -> Any:
        if trainer.state.global_step + 1 == at:
            with torch.no_grad():
                next(value for value in trainer.model.parameters() if value.requires_grad).fill_(torch.nan)
        return original(trainer, *arguments)

    monkeypatch.setattr(CandidateTrainer, "training_step", poisoned)
    config = dataclasses.replace(config, method="lora")
    straight = perform(config)
    assert straight.reason == f"The training loss was not finite at step {at}."
    killed(config, tmp_path / "work", INSTANTS["in the test"])
    again = perform(config, folder=tmp_path / "work")
    assert json.dumps(comparable(again)) == json.dumps(comparable(straight))  # the last loss is NaN


def test_killed_in_a_save_while_the_best_epoch_is_an_older_one(
    config: RunConfig, tmp_path: Path, steps: list[int]
) -> None:
    """The best checkpoint is kept beside the one before, which is whole until the new one is."""
    config = dataclasses.replace(config, method="lora", learning_rate=0.03, data_seed=1)
    straight = perform(config)
    assert straight.scores["best_step"] == 3
    killed(config, tmp_path / "work", killed_at(3, MarkWhole, "on_save", "before"))
    steps.clear()
    assert comparable(perform(config, folder=tmp_path / "work")) == comparable(straight)
    assert len(steps) == 3
