"""Statements that both halves test, and how each measures them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from colarepro.figures.arms import chosen
from colarepro.figures.compared import MEAN, compared
from colarepro.figures.side_by_side import NOISE, SAMPLES
from colarepro.results import Interval, Record, mean_interval

REGRESSION, ELSEWHERE, MODELS = "theory: regression", "theory: elsewhere", "language models"


class Halves:
    """The records of both halves, asked for the difference that two things make; None where one was not measured."""

    def __init__(self, records: Sequence[Record], pairs: Sequence[tuple[str, str]]) -> None:
        """``pairs``: the arms of the language models that are compared."""
        self.theory = [record for record in records if record.kind == "theory"]
        models = [record for record in records if record.kind == "llm"]
        self.runs = chosen(models)
        self.points = {
            (row["first"], row["second"]): Interval(row["difference"], row["low"], row["high"], row["draws"])
            for _, row in compared(models, pairs).iterrows()
            if row["task"] == MEAN
        }

    def seeds(self, curve: str, **asked: Any) -> np.ndarray | None:
        """The last values of a theory record's curve, one a seed, where it or its problem was asked this."""
        for record in self.theory:
            config = record.config["problem"] | record.config
            if all(config.get(name) == value for name, value in asked.items()):
                return np.array(record.curves[curve], dtype=float)[:, -1]
        return None

    def gap(self, first: str, second: str) -> Interval | None:
        """First arm minus second in test loss - train loss after the last epoch, mean over tasks, in nats."""
        if "train_loss_last" not in self.runs:
            return None
        runs = self.runs.assign(gap=self.runs["test_loss_last"] - self.runs["train_loss_last"])
        both = [runs[runs["arm"] == arm].set_index(["data_seed", "task"])["gap"] for arm in (first, second)]
        differences = (both[0] - both[1]).dropna().unstack("task").dropna()
        return mean_interval(differences.mean(axis=1).tolist()) if len(differences) else None


@dataclass(frozen=True)
class Measure:
    """Where and how a statement is measured; ``less``: the statement says that the difference, or the logarithm of the
    ratio, is below 0."""

    half: str
    unit: str
    less: bool
    interval: Callable[[Halves], Interval | None]
    pair: tuple[str, str] | None = None
    """The arms, if it compares answers of language models."""


def _excess(first: str, second: str) -> Measure:
    def interval(halves: Halves) -> Interval | None:
        values = [
            halves.seeds("excess", experiment="convergence", label=label, name="regression")
            for label in (first, second)
        ]
        return _paired(values, ratio=True)

    return Measure(REGRESSION, "× final excess", True, interval)


def _digits(first: str, second: str) -> Measure:
    def interval(halves: Halves) -> Interval | None:
        return _paired([halves.seeds("test_loss", experiment="digits", label=label) for label in (first, second)])

    return Measure(ELSEWHERE, "test loss on digits", True, interval)


def _quadratic(first: str, second: str) -> Measure:
    def interval(halves: Halves) -> Interval | None:
        values = [
            halves.seeds("excess", experiment="counterexample", label=label, factor=0.1) for label in (first, second)
        ]
        return _paired(values, ratio=True)

    return Measure(ELSEWHERE, "× final excess on RAC-LoRA's quadratic at 0.1/L", True, interval)


def _noisy(curve: str, unit: str, first: tuple[str, int], second: tuple[str, int]) -> Measure:
    def interval(halves: Halves) -> Interval | None:
        cell = {"experiment": "generalization", "noise": NOISE, "samples": SAMPLES}
        values = [halves.seeds(curve, label=label, length=length, **cell) for label, length in (first, second)]
        return _paired(values)

    return Measure(REGRESSION, unit, True, interval)


def _points(first: str, second: str) -> Measure:
    return Measure(MODELS, "points", False, lambda halves: halves.points.get((first, second)), (first, second))


def _gap(first: str, second: str) -> Measure:
    return Measure(MODELS, "gap in nats", True, lambda halves: halves.gap(first, second))


def _paired(values: Sequence[np.ndarray | None], ratio: bool = False) -> Interval | None:
    """Mean difference over seeds, or the geometric mean of the ratio."""
    first, second = values
    if first is None or second is None:
        return None
    tiny = 1e-32  # as in `mean_interval`
    pairs = np.maximum(first, tiny) / np.maximum(second, tiny) if ratio else first - second
    return mean_interval(pairs.tolist(), geometric=ratio)


CHAIN, ADAMW, TEN, COLA = "COLA, 8 links", "COLA, 8 links, AdamW", "COLA, 10 links", "cola, length 2"
LINKS, SUMMED = "COLA, rank-1 links", "LoRA, summed rank"
STATEMENTS: dict[str, tuple[Measure, ...]] = {
    "a chain beats LoRA of a link's rank": (
        _excess(CHAIN, "LoRA, rank 1"),
        _digits(TEN, "LoRA, rank 1"),
        _points(COLA, "lora"),
    ),
    "a chain beats LoRA of the summed rank": (
        _excess(CHAIN, "LoRA, rank 8"),
        _digits(TEN, "LoRA, rank 10"),
        _points(COLA, "lora-rank-sum, length 2"),
    ),
    "a knot beats a restart without a merge": (
        _excess(ADAMW, "restart without merge, AdamW"),
        _digits(TEN, "restart without merge"),
        _points(COLA, "lora-restart, length 2"),
    ),
    "a fresh A beats the same A": (
        _excess(CHAIN, f"{CHAIN}, same A"),
        _quadratic("COLA, fresh A", "COLA, same A"),
        _points(COLA, f"{COLA}, same A"),
    ),
    "COLA beats ReLoRA": (
        _excess(ADAMW, "ReLoRA, AdamW"),
        _digits(TEN, "ReLoRA, 10 links"),
        _points(COLA, "relora, length 2"),
    ),
    "COLA beats RAC-LoRA": (
        _excess(CHAIN, "RAC-LoRA"),
        _digits(TEN, "RAC-LoRA, 10 links"),
        _points(COLA, "rac-lora, length 2"),
    ),
    "COLA beats asymmetric LoRA": (
        _excess(CHAIN, "asymmetric LoRA"),
        _digits(TEN, "asymmetric LoRA"),
        _points(COLA, "asym-lora"),
    ),
    "COLA beats full fine-tuning": (_excess(CHAIN, "full"), _digits(TEN, "full"), _points(COLA, "full")),
    "three links beat one on unseen data": (
        _noisy("test_loss", "test loss", (LINKS, 3), (LINKS, 1)),
        _points("cola, length 3", "lora"),
    ),
    "three links have a smaller gap than one": (
        _noisy("generalization_gap", "gap", (LINKS, 3), (LINKS, 1)),
        _gap("cola, length 3", "lora"),
    ),
    "three links have a smaller gap than LoRA of their summed rank": (
        _noisy("generalization_gap", "gap", (LINKS, 3), (SUMMED, 3)),
        _gap("cola, length 3", "lora-rank-sum, length 3"),
    ),
}
