"""A line of the ledger, and how measures become one."""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from colarepro.ledger.evidence import TASKS, Evidence
from colarepro.ledger.sweeps import command
from colarepro.results import Comparison, average
from colarepro.results.verdict import verdict

OURS = "not in the paper"
"""Where our own questions stand."""


@dataclass(frozen=True)
class Row:
    """One claim: what was said and where, how sure the number is, what we measured, the word it earns and for what,
    the command that makes its records again, what they took, and on what."""

    claim: str
    where: str
    reported: str
    ours: str
    n: str
    verdict: str
    scope: str
    command: str
    seconds: float
    hardware: str


@dataclass(frozen=True)
class Section:
    """Rows under one heading, with a line on what they have in common."""

    title: str
    note: str
    rows: list[Row]


class Measured(Protocol):
    """Anything with a 95 % interval."""

    @property
    def difference(self) -> float: ...
    @property
    def low(self) -> float: ...
    @property
    def high(self) -> float: ...


class Span(NamedTuple):
    """A value between two ends."""

    difference: float
    low: float
    high: float


def at_least(count: int, measures: Collection[Measured]) -> Span:
    """The ``count``-th largest difference, between the ``count``-th largest of the lower and of the upper ends.

    The claim that at least so many of the differences are positive is the claim that this one is: it is supported if
    so many whole intervals lie above 0, and contradicted if too many lie below.
    """
    ordered = [
        sorted((getattr(measure, name) for measure in measures), reverse=True) for name in ("difference", "low", "high")
    ]
    return Span(*(values[count - 1] for values in ordered))


def most(measures: Collection[Measured]) -> Span:
    """`at_least` more than half of them."""
    return at_least(len(measures) // 2 + 1, measures)


def least(measures: Collection[Measured]) -> Span:
    """The claim that all of them are positive."""
    return at_least(len(measures), measures)


def interval(measured: Measured, unit: str = "") -> str:
    """``+0.36 [-1.20, 1.92]``, with the unit after it."""
    if math.isnan(measured.low):
        return f"{measured.difference:+.2f}{unit}, interval unknown"
    return f"{measured.difference:+.2f} [{measured.low:.2f}, {measured.high:.2f}]{unit}"


def count_of(comparisons: Sequence[Comparison]) -> str:
    """The n of one or several comparisons."""
    draws = sorted({comparison.draws for comparison in comparisons})
    shown = f"{draws[0]}" if len(draws) == 1 else f"{draws[0]} to {draws[-1]}"
    tasks = f"{len(comparisons)} tasks, " if len(comparisons) > 1 else ""
    return f"{tasks}{shown} draws, {sum(comparison.items for comparison in comparisons):,} items"


def row(
    evidence: Evidence,
    claim: str,
    where: str,
    reported: str,
    arms: Sequence[str],
    measured: Measured | None,
    ours: str = "",
    n: str = "",
    claimed: float | None = None,
    p: float = 0.0,
    tasks: Sequence[str] | None = None,
    scope: str = "",
) -> Row:
    """A row about language models, with the word of `verdict`; without a measure it says that there is none."""
    over = list(tasks or evidence.tasks or TASKS)
    return Row(
        claim=claim,
        where=where,
        reported=reported,
        ours=(ours or interval(measured, " points")) if measured is not None else "",
        n=n if measured is not None else "",
        verdict=verdict(measured.low, measured.high, claimed, p) if measured is not None else "not measured",
        scope=scope or f"{'' if where == OURS or evidence.model in where else 'direction '}on {evidence.model}",
        command=command(*evidence.campaign[:2], arms, over if measured is not None else tasks or ()),
        seconds=evidence.seconds(over, arms) if measured is not None else 0.0,
        hardware=evidence.devices(over, arms) if measured is not None else "",
    )


def mean_row(
    evidence: Evidence, claim: str, where: str, reported: str, first: str, second: str, split: str = "test"
) -> Row:
    """That one arm exceeds another, in the mean over the tasks that have both."""
    by_task = evidence.comparisons(first, second, split)
    found = list(by_task.values())
    mean = average(found) if found else None
    ours = ""
    if mean:
        above = sum(comparison.difference > 0 for comparison in found)
        p = "" if math.isnan(mean.p) else f", p {mean.p:.3f}"
        ours = f"{interval(mean, ' points')}{p}; above on {above} of {len(found)}"
    n = count_of(found) if found else ""
    return row(evidence, claim, where, reported, [first, second], mean, ours, n, tasks=list(by_task))
