"""A line of the ledger, and how measures become one."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from colarepro.ledger.evidence import TASKS, Evidence
from colarepro.ledger.sweeps import command
from colarepro.ledger.wording import counted, number, p_value
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


def interval(measured: Measured, unit: str = "") -> str:
    """``+0.36 [-1.20, 1.92]``, with the unit after it."""
    difference = number(measured.difference, sign=True)
    if math.isnan(measured.low):
        return f"{difference}{unit}, interval unknown"
    return f"{difference} [{number(measured.low)}, {number(measured.high)}]{unit}"


def count_of(comparisons: Sequence[Comparison]) -> str:
    """The n of one or several comparisons."""
    draws = sorted({comparison.draws for comparison in comparisons})
    shown = counted(draws[0], "draw") if len(draws) == 1 else f"{draws[0]} to {draws[-1]} draws"
    tasks = f"{len(comparisons)} tasks, " if len(comparisons) > 1 else ""
    return f"{tasks}{shown}, {counted(sum(comparison.items for comparison in comparisons), 'item')}"


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
        p = "" if math.isnan(mean.p) else f", {p_value(mean.p)}"
        ours = f"{interval(mean, ' points')}{p}; above on {above} of {len(found)}"
    n = count_of(found) if found else ""
    return row(evidence, claim, where, reported, [first, second], mean, ours, n, tasks=list(by_task))
