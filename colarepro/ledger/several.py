"""Claims on so many of several tasks: on every one, on most, on all but one."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from colarepro.ledger.wording import number
from colarepro.results import Comparison
from colarepro.results.graded import Graded

PLACES = ("least", "second least", "third least")


@dataclass(frozen=True)
class AtLeast(Graded):
    """The claim that at least ``count`` of m true values are positive: that the ``count``-th largest of them is.

    Its interval is Bonferroni's for partial conjunctions (Benjamini & Heller 2008). If fewer than ``count`` values are
    positive, m - ``count`` + 1 are not, and ``count`` lower ends lie above 0 only if one of these errs: each may with
    probability tail / (m - ``count`` + 1). That m - ``count`` + 1 values are negative, which contradicts the claim, is
    the same turned round: each upper end may err with probability tail / ``count``. Tasks need not be independent.
    """

    count: int
    measures: tuple["Comparison | AtLeast", ...]

    @property
    def difference(self) -> float:
        """The ``count``-th largest as measured, which may be another task's than either end."""
        return sorted((measure.difference for measure in self.measures), reverse=True)[self.count - 1]

    def end(self, side: Literal[-1, 1], tail: float) -> float:
        """The ``count``-th largest of these ends; NaN if any is unknown."""
        share = len(self.measures) - self.count + 1 if side < 0 else self.count
        ends = sorted((measure.end(side, tail / share) for measure in self.measures), reverse=True)
        return math.nan if any(map(math.isnan, ends)) else ends[self.count - 1]

    def text(self, what: str) -> str:
        """``the least of the true gains is in [-4.19, 1.37] points, of the measured ones -1.13``, for ``what`` gains:
        the three numbers may belong to three tasks."""
        below = len(self.measures) - self.count
        place = PLACES[below] if below < len(PLACES) else f"{below + 1}th least"
        measured = number(self.difference, sign=True)
        if math.isnan(self.low):
            return f"the {place} of the measured {what} is {measured} points, interval unknown"
        ends = f"[{number(self.low)}, {number(self.high)}]"
        return f"the {place} of the true {what} is in {ends} points, of the measured ones {measured}"


def at_least(count: int, measures: Iterable[Comparison | AtLeast]) -> AtLeast:
    """That so many of them, at least, are positive."""
    return AtLeast(count, tuple(measures))


def most(measures: Iterable[Comparison | AtLeast]) -> AtLeast:
    """That more than half of them are."""
    found = tuple(measures)
    return AtLeast(len(found) // 2 + 1, found)


def least(measures: Iterable[Comparison | AtLeast]) -> AtLeast:
    """That all of them are."""
    found = tuple(measures)
    return AtLeast(len(found), found)
