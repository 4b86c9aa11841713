"""What a run works on: the drawn examples and the loaded model."""

import functools
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from colarepro.errors import ColaError
from colarepro.models.load import LoadedModel, load
from colarepro.results import Record, environment
from colarepro.runs import ranks
from colarepro.runs.config import RunConfig
from colarepro.runs.judge import judge
from colarepro.tasks import Example, Protocol, Splits, Task, draw, load_examples, load_task, origin, scores
from colarepro.tasks.task import Split


@dataclass(frozen=True)
class Material:
    """A configuration, checked, with its task's examples and its model on ``device``."""

    config: RunConfig
    device: str
    task: Task
    splits: Splits
    loaded: LoadedModel
    environment: dict[str, str]
    """What the run is computed with; asked at its beginning, since a checkout may have another commit by its end."""
    seconds: float
    """What gathering took."""

    def judge(self, predictions: list[int]) -> dict[str, float]:
        """The task's scores of predicted labels for the test examples, by name."""
        judged = scores(self.task, self.splits.test, predictions)
        return {f"test_{name}": value for name, value in judged.items()}

    def judge_trained(self, train: Tensor, last: Tensor, best: Tensor) -> dict[str, float]:
        """The same of a trained model's scores, (examples, candidates): of the train and the test examples after the
        last epoch, and of the test examples at the best one, whose scores have the plain names."""
        labels = {name: [example.label for example in getattr(self.splits, name)] for name in ("train", "test")}
        judged = self.judge(best.argmax(1).tolist()) | {"test_loss": judge(best, labels["test"])[0]}
        judged["test_loss_last"], judged["test_accuracy_last"] = judge(last, labels["test"])
        judged["train_loss_last"], judged["train_accuracy_last"] = judge(train, labels["train"])
        return judged

    def record(self, predictions: list[int] | None = None, last: list[int] | None = None, **fields: Any) -> Record:
        """A record of this run; ``predictions`` are labels of the test examples, ``last`` those that the model gave
        after its last epoch, if it was trained, ``fields`` the rest of it."""
        answers = {"test": predictions, "test_last": last}
        given: dict[str, list[int]] = {name: labels for name, labels in answers.items() if labels is not None}
        if given:
            given["test_labels"] = [example.label for example in self.splits.test]
        return Record(
            kind="llm",
            config=self.config.question(),
            predictions=given,
            digests={"weights": self.loaded.digest} | self.splits.digests,
            environment=self.environment | ({"processes": str(ranks.count())} if ranks.count() > 1 else {}),
            **fields,
        )


def splits_of(config: RunConfig) -> Splits:
    """The examples that a run draws; the last few draws are kept, since many runs of a sweep share theirs."""
    data = origin(load_task(config.task), config.data_dir)
    counts = config.train_examples, config.dev_examples, config.test_examples
    return _drawn(data, config.task, config.data_dir, config.data_seed, config.protocol, counts)


@functools.lru_cache(maxsize=16)
def _drawn(
    data: str, task: str, data_dir: Path | None, seed: int, protocol: Protocol, counts: tuple[int, int, int]
) -> Splits:
    """``data`` names the data's content."""

    def read(task_: Task, split: Split, folder: Path | str | None) -> tuple[Example, ...]:
        return _pool(data, task, split, data_dir)

    return draw(load_task(task), data_dir, seed, protocol, *counts, read=read)


@functools.lru_cache(maxsize=2)
def _pool(data: str, task: str, split: Split, data_dir: Path | None) -> tuple[Example, ...]:
    return tuple(load_examples(load_task(task), split, data_dir))


def gather(config: RunConfig, device: str, loaded: LoadedModel | None = None) -> Material:
    """Draw a configuration's examples and load its model unless it is given; raises `ColaError` for what cannot be."""
    started = time.perf_counter()
    if config.dtype not in ("float32", "bfloat16"):
        raise ColaError(
            f"The dtype is {config.dtype}; expected float32 or bfloat16, since float16 needs a loss scaler, whose "
            "skipped steps would move the knots."
        )
    task = load_task(config.task)
    splits = splits_of(config)
    loaded = loaded or load(config.model, getattr(torch, config.dtype), device)
    return Material(config, device, task, splits, loaded, environment(device), time.perf_counter() - started)
