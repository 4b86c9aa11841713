"""A run in its folder: full disks, folders that cannot be written to, trackers."""

import dataclasses
import errno
import os
import resource
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import pytest
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.integrations import integration_utils

from colarepro.chain import Schedule
from colarepro.errors import ColaError, exit_cleanly
from colarepro.results import Store
from colarepro.runs import RunConfig, stored
from colarepro.runs.stored import run_stored
from colarepro.runs.trainer import CandidateTrainer
from tests.runs.test_perform import comparable


@pytest.fixture
def config(untrained: str, miniature: Path) -> RunConfig:
    """Four steps in two epochs, with a knot between."""
    return RunConfig(
        task="rte",
        model=untrained,
        data_dir=miniature,
        chain=Schedule(knot_steps=(2,)),
        epochs=2,
        train_examples=16,
        dev_examples=8,
        test_examples=8,
    )


@pytest.fixture(autouse=True)
def interruption() -> Iterator[None]:
    """`exit_cleanly` takes over Ctrl-C, as a command may."""
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


def without_room(call: Callable[..., Any], when: Callable[..., bool]) -> Callable[..., Any]:
    """``call``, which the system lets write one byte a file ``when`` its arguments say so: a disk that is full."""

    def wrapped(*arguments: Any, **options: Any) -> Any:
        if not when(*arguments):
            return call(*arguments, **options)
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1, before[1]))
        try:
            return call(*arguments, **options)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return wrapped


WRITERS = {
    "the adapter": ("peft.peft_model.safe_save_file", True),
    "the optimizer": ("torch.save", True),
    "the chain": ("safetensors.torch.save_file", True),
    "the mark": ("pathlib.Path.write_text", True),
    "the record": ("pathlib.Path.write_text", False),
}
"""What writes a file, and whether in a checkpoint."""


@pytest.mark.parametrize("what", WRITERS)
def test_a_full_disk_is_one_sentence_and_the_run_goes_on_later(
    config: RunConfig, what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The second checkpoint finds no room, or the record does."""
    store, straight = Store(tmp_path / "full"), run_stored(config, Store(tmp_path / "straight"), "cpu")
    run_stored(dataclasses.replace(config, seed=7), store, "cpu")
    earlier = {path: path.read_bytes() for path in store.folder.glob("*.json")}
    name, in_checkpoint = WRITERS[what]

    def second(*arguments: Any) -> bool:
        path = next(Path(one) for one in arguments if isinstance(one, str | Path))
        return path.parent.name == "checkpoint-4" if in_checkpoint else path.parent == store.folder

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(name, without_room(resolve_name(name), second))
        with pytest.raises(SystemExit) as left:
            exit_cleanly(lambda: run_stored(config, store, "cpu") and None)
    said = capsys.readouterr().err.strip().splitlines()
    assert left.value.code == 2
    assert len([line for line in said if line.startswith("colarepro: ") and "could not be written" in line]) == 1
    assert not [line for line in said if "Traceback" in line]
    assert {path: path.read_bytes() for path in store.folder.glob("*.json")} == earlier
    assert not list(store.folder.glob(".partial-*"))

    steps: list[int] = []
    with pytest.MonkeyPatch.context() as monkeypatch:
        step = CandidateTrainer.training_step
        monkeypatch.setattr(CandidateTrainer, "training_step", lambda *a, **o: steps.append(1) or step(*a, **o))
        again = run_stored(config, store, "cpu")
    assert comparable(again) == comparable(straight)
    assert len(steps) == (2 if in_checkpoint else 0)
    assert not store.unfinished(again.identity).exists()


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES])
def test_a_folder_that_cannot_be_written_to_is_one_sentence(
    config: RunConfig, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Known before the run starts. Who is root may write everywhere, so the system's answer is made up."""

    def refuse(path: Path, *_: Any, **__: Any) -> None:
        raise OSError(code, os.strerror(code), str(path))

    monkeypatch.setattr(stored, "perform", lambda *_, **__: pytest.fail("the run started"))
    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(ColaError, match=f"^The folder {tmp_path} cannot be written to: {os.strerror(code)}.$"):
        run_stored(config, Store(tmp_path), "cpu")


def test_what_is_no_error_of_the_disk_stays_what_it_is(
    config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(stored, "perform", broken)
    with pytest.raises(RuntimeError, match="illegal memory access"):
        run_stored(config, Store(tmp_path), "cpu")


class Tracker(TrainerCallback):
    """Writes what it hears into the run's folder, as TensorBoard's does by default."""

    heard: tuple[dict[str, float], ...] = ()

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: dict[str, float], **_: Any
    ) -> None:
        Tracker.heard = (*Tracker.heard, dict(logs))
        folder = Path(str(args.output_dir)) / "runs"
        folder.mkdir(exist_ok=True)
        (folder / "events").write_text(f"{len(Tracker.heard)}")


def test_a_tracker_hears_every_step_and_its_files_stay(
    config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(integration_utils.INTEGRATION_TO_CALLBACK, "mine", Tracker)
    monkeypatch.setattr(integration_utils, "get_available_reporting_integrations", lambda: ["mine"])
    monkeypatch.setattr(Tracker, "heard", ())
    store = Store(tmp_path)
    record = run_stored(config, store, "cpu", report_to="mine")
    assert [logs["loss"] for logs in Tracker.heard if "loss" in logs] == record.curves["loss"]
    assert [logs["eval_loss"] for logs in Tracker.heard if "eval_loss" in logs] == record.curves["dev_loss"]
    left = tmp_path / "tracked" / record.identity
    assert [str(path.relative_to(left)) for path in left.rglob("*") if path.is_file()] == ["runs/events"]
    assert not store.unfinished(record.identity).exists()
    assert list(store) == [record]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tensorbored", "^Unknown tracker 'tensorbored'; expected none, all, or one of .*tensorboard.*wandb"),
        ("mine", r"^The tracker 'mine' is not installed; transformers finds theirs\.$"),
    ],
)
def test_a_tracker_that_cannot_be_used_is_one_sentence_before_training(
    config: RunConfig, name: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(integration_utils.INTEGRATION_TO_CALLBACK, "mine", Tracker)
    monkeypatch.setattr(integration_utils, "get_available_reporting_integrations", lambda: ["theirs"])
    monkeypatch.setattr(stored, "perform", lambda *_, **__: pytest.fail("the run started"))
    with pytest.raises(ColaError, match=message):
        run_stored(config, Store(tmp_path), "cpu", report_to=name)


def test_what_trains_no_model_is_kept_by_its_record_alone(
    config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, config = Store(tmp_path), dataclasses.replace(config, method="zero-shot")
    record = run_stored(config, store, "cpu", keep=True)
    monkeypatch.setattr(stored, "perform", lambda *_, **__: pytest.fail("performed again"))
    assert run_stored(config, store, "cpu", keep=True) == record
