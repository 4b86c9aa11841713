"""Claims on so many of several tasks, by hand and in simulated campaigns without the effect that is claimed."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np
import pytest

from colarepro.ledger.several import AtLeast, Graded, at_least, least, most
from colarepro.results.verdict import verdict

CAMPAIGNS = 2000


@dataclass(frozen=True)
class Normal:
    """An estimate with a normal error of 1."""

    difference: float

    def end(self, side: Literal[-1, 1], tail: float) -> float:
        return self.difference + side * NormalDist().inv_cdf(1 - tail)


@dataclass(frozen=True)
class Unknown:
    difference: float

    def end(self, side: Literal[-1, 1], tail: float) -> float:
        return float("nan")


def test_ends_are_bonferronis() -> None:
    """Seven tasks, at least four: either end may be missed by four tasks, of which no one may miss it."""
    values = [0.3, 5.0, -2.0, 1.0, 4.0, 2.0, -1.0]
    reach = -NormalDist().inv_cdf(0.025 / 4)
    found = most(map(Normal, values))
    assert (found.difference, found.low, found.high) == pytest.approx((1, 1 - reach, 1 + reach))
    found = least(map(Normal, values))
    assert found.difference == -2
    assert found.low == pytest.approx(-2 + NormalDist().inv_cdf(0.025))
    assert found.high == pytest.approx(-2 - NormalDist().inv_cdf(0.025 / 7))
    found = at_least(6, map(Normal, values))
    assert found.low == pytest.approx(-1 + NormalDist().inv_cdf(0.025 / 2))
    assert found.high == pytest.approx(-1 - NormalDist().inv_cdf(0.025 / 6))


def test_one_task_is_as_it_is_and_claims_nest() -> None:
    one = least([Normal(1.0)])
    assert (one.low, one.high) == pytest.approx((1 - 1.959964, 1 + 1.959964))
    nested = most([least([Normal(1.0), Normal(3.0)]), least([Normal(5.0), Normal(4.0)])])
    assert nested.difference == 1
    assert nested.low == pytest.approx(1 + NormalDist().inv_cdf(0.025))
    assert nested.high == pytest.approx(1 - NormalDist().inv_cdf(0.025 / 4))


def test_the_text_gives_no_task_all_three_numbers() -> None:
    assert least([Normal(1.0), Normal(-1.0)]).text("gains") == (
        "the least of the true gains is in [-2.96, 1.24] points, of the measured ones -1.00"
    )
    assert most(map(Normal, range(7))).text("steps").startswith("the 4th least of the true steps is in [")
    assert at_least(1, [Normal(1.0), Unknown(2.0)]).text("gains") == (
        "the second least of the measured gains is +2.00 points, interval unknown"
    )


Claim = Callable[[Iterable[Graded]], AtLeast]


@pytest.mark.parametrize(
    ("claim", "truth", "wrong", "rate"),
    [
        (least, [0.0] * 7, "contradicted", 0.025),
        (least, [9.0] * 6 + [0.0], "supported", 0.025),
        (most, [9.0] * 3 + [0.0] * 4, "supported", 0.025),
        (most, [-9.0] * 3 + [0.0] * 4, "contradicted", 0.025),
        (most, [0.0] * 7, "contradicted", 0.001),
        (lambda tasks: at_least(6, tasks), [9.0] * 5 + [0.0] * 2, "supported", 0.025),
        (lambda tasks: at_least(6, tasks), [-9.0] + [0.0] * 6, "contradicted", 0.025),
    ],
)
def test_a_wrong_word_is_as_rare_as_it_should_be(claim: Claim, truth: Sequence[float], wrong: str, rate: float) -> None:
    """In 2.5 % of campaigns at the worst truths; a tail at 2.5 % for each task would give 7 to 16 %. Values that are
    all 0, of which the claim is as true as false, are seldom taken for so many."""
    drawn = np.random.default_rng(7).normal(truth, 1, (CAMPAIGNS, len(truth)))
    found = [claim([Normal(float(value)) for value in row]) for row in drawn]
    share = np.mean([verdict(span.low, span.high) == wrong for span in found])
    assert share <= rate + 3 * (rate / CAMPAIGNS) ** 0.5
    if rate == 0.025:
        assert share >= rate / 2  # no more careful than need be


def test_a_true_claim_is_found() -> None:
    drawn = np.random.default_rng(8).normal(4, 1, (300, 7))
    for claim in (least, most):
        found = [claim([Normal(float(value)) for value in row]) for row in drawn]
        assert np.mean([verdict(span.low, span.high) == "supported" for span in found]) > 0.8
