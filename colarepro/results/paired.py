"""Two arms that answered the same test items, compared item by item over the draws."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.stats import t

from colarepro.errors import ColaError
from colarepro.results.crossed import Crossed, share_as_large
from colarepro.results.graded import TAIL, Graded
from colarepro.results.items import common_items
from colarepro.results.record import Record

FLIPS = 4999
POWER = 0.8


@dataclass(frozen=True)
class Comparison(Graded):
    """First minus second, in points of accuracy, positive where the first is better.

    ``low`` and ``high`` end the 95 % interval and ``p`` is two-sided; all NaN with a single draw, which shows nothing
    of how draws vary. ``draws`` counts them, ``items`` distinct test items, ``answers`` those of one arm.
    """

    difference: float
    standard_error: float
    degrees: float
    p: float
    draws: int
    items: int
    answers: int

    def end(self, side: Literal[-1, 1], tail: float) -> float:
        """Of Student's interval."""
        return self.difference + side * float(t.ppf(1 - tail, self.degrees)) * self.standard_error

    def detectable(self, tests: int = 1) -> float:
        """The least true difference, in points, that a test at 5 % finds with probability `POWER`, if the standard
        error is the measured one. Of several ``tests`` it is the one that Holm's first step finds, at 5 % / ``tests``.
        """
        return float(t.ppf(1 - TAIL / tests, self.degrees) + t.ppf(POWER, self.degrees)) * self.standard_error


def compare(
    first: Sequence[Record],
    second: Sequence[Record],
    pools: Mapping[str, int] | None = None,
    split: str = "test",
    flips: int = FLIPS,
) -> Comparison:
    """First arm minus second on one task, over the draws that both have.

    ``split`` names the answers: ``test``, of the epoch with the least dev loss, or ``test_last``, after the last epoch.

    Draws pair by ``data_seed`` and ``seed``; an arm without a ``seed`` (zero-shot) by ``data_seed`` alone, with every
    seed of the other one. ``pools`` as in `items`. ``p`` is a paired permutation test: the signs of the differences are
    flipped answer by answer, which is exact if the arms' answers to an item are exchangeable, and the statistic is the
    difference over its standard error of draws and items, which keeps the test valid if draws or items favour an arm
    each in its own way (Chung & Romano 2013). Flipping whole draws instead would be exact, too, but five draws know 32
    patterns and no p below 0.06.

    Raises `ColaError` if no draw is common, an arm has a draw twice, a record of a common draw lacks the answers, as
    that of a diverged run does, or the arms' test sets in a draw differ.
    """
    pairs = _pairs(first, second, split)
    columns = common_items([record for record, _ in pairs], pools)
    gained = [_right(record, split) - _right(other, split) for record, other in pairs]
    draw = np.repeat(np.arange(len(pairs)), [len(gain) for gain in gained])
    item = np.unique(np.concatenate(columns), return_inverse=True)[1]
    gain = np.concatenate(gained)
    crossed = Crossed(gain, draw, item)
    signs = np.random.default_rng(0).integers(0, 2, (flips + 1, np.count_nonzero(gain)), dtype=np.int8) * 2 - 1
    signs[0] = 1  # as observed
    mean, error, degrees = crossed.moments(signs)
    return Comparison(
        difference=100 * float(mean[0]),
        standard_error=100 * float(error[0]),
        degrees=float(degrees[0]),
        p=share_as_large(mean, error),
        draws=len(pairs),
        items=int(item.max()) + 1,
        answers=len(gain),
    )


def average(comparisons: Sequence[Comparison]) -> Comparison:
    """The mean difference over tasks, each as it is: other tasks are not spoken for.

    Tasks are independent, so variances add; degrees of freedom by Satterthwaite, ``p`` from Student's t.
    """
    variances = np.array([comparison.standard_error**2 for comparison in comparisons])
    count, total = len(comparisons), float(variances.sum())
    spread = sum(v**2 / c.degrees for v, c in zip(variances, comparisons, strict=True))
    mean = sum(comparison.difference for comparison in comparisons) / count
    error = math.sqrt(total) / count
    degrees = total**2 / spread if spread > 0 else math.inf
    return Comparison(
        difference=mean,
        standard_error=error,
        degrees=degrees,
        p=2 * float(t.sf(abs(mean) / error, degrees)) if error else float(mean == 0),
        draws=min(comparison.draws for comparison in comparisons),
        items=sum(comparison.items for comparison in comparisons),
        answers=sum(comparison.answers for comparison in comparisons),
    )


def holm(p: Sequence[float]) -> np.ndarray:
    """Holm's (1979) adjusted p-values, in the order given; NaN stays and does not count."""
    values = np.asarray(p, dtype=float)
    order = np.argsort(values)[: int(np.isfinite(values).sum())]
    steps = values[order] * np.arange(len(order), 0, -1)
    adjusted = np.full(len(values), np.nan)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted


def _pairs(first: Sequence[Record], second: Sequence[Record], split: str) -> list[tuple[Record, Record]]:
    """The records of both arms in the draws that both have, in order; without a seed, in every draw of the data."""
    own, others = _by_draw(first), _by_draw(second)
    pairs = []
    for draw in sorted(own.keys() | others.keys(), key=lambda draw: (draw[0], draw[1] or 0)):
        record, other = (arm.get(draw) or arm.get((draw[0], None)) for arm in (own, others))
        if record is None or other is None:
            continue
        for each in (record, other):
            if split not in each.predictions:
                raise ColaError(
                    f"Record {each.identity} has no answers '{split}' (the run is {each.status}); expected arms that "
                    "have them in every draw, since a draw left out may favour one."
                )
        if record.digests.get("test") != other.digests.get("test"):
            raise ColaError(
                f"Records {record.identity} and {other.identity} were judged on different test sets; expected one."
            )
        pairs.append((record, other))
    if not pairs:
        raise ColaError("The two arms have no draw in common; expected one at least.")
    return pairs


def _by_draw(arm: Sequence[Record]) -> dict[tuple[int, int | None], Record]:
    found: dict[tuple[int, int | None], Record] = {}
    for record in arm:
        if before := found.get(_draw(record)):
            raise ColaError(
                f"Records {before.identity} and {record.identity} of one arm are of the same draw; expected one a "
                "draw, at one learning rate."
            )
        found[_draw(record)] = record
    return found


def _draw(record: Record) -> tuple[int, int | None]:
    return record.config["data_seed"], record.config.get("seed")


def _right(record: Record, split: str) -> np.ndarray:
    """1 for every right answer to the test items, else 0."""
    return np.equal(record.predictions[split], record.predictions["test_labels"]).astype(np.int8)
