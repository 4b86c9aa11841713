"""Step rules for Frank-Wolfe: how far to go from W towards the atom V, a number from 0 to 1."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from colarepro.errors import ColaError


@dataclass(frozen=True)
class Situation:
    """What a rule may look at.

    ``index`` counts steps from 0, of ``steps`` in all; ``gap`` is <gradient, W - V>; ``squared_length`` is
    |V - W|_F^2; ``smoothness`` is L; ``diameter`` is that of the ball in the Frobenius norm; ``start_excess``
    is loss(start) - best_value; ``curvature`` returns the second derivative of a quadratic along V - W.
    """

    index: int
    steps: int
    gap: float
    squared_length: float
    smoothness: float
    diameter: float
    start_excess: float
    curvature: Callable[[], float]


def open_loop(at: Situation) -> float:
    """2 / (t + 2), which needs nothing but the count (Jaggi 2013)."""
    return 2 / (at.index + 2)


def fixed(at: Situation) -> float:
    """sqrt(M / (beta T)) / D, the step of COLA's Theorem 4.1, with M the excess of the start; at most 1."""
    return min(1.0, math.sqrt(at.start_excess / (at.smoothness * at.steps)) / at.diameter)


def fixed_best(at: Situation) -> float:
    """sqrt(2 M / (beta T)) / D, which minimises the right-hand side of that theorem's proof; at most 1."""
    return min(1.0, math.sqrt(2 * at.start_excess / (at.smoothness * at.steps)) / at.diameter)


def short(at: Situation) -> float:
    """gap / (L |V - W|^2), the minimiser of the smoothness bound; at most 1."""
    return _ratio(at.gap, at.smoothness * at.squared_length)


def exact(at: Situation) -> float:
    """gap / curvature, the minimiser of a quadratic loss on the segment; at most 1."""
    return _ratio(at.gap, at.curvature())


def _ratio(gap: float, bend: float) -> float:
    if gap <= 0:  # rounding, or an inexact oracle: staying is best
        return 0.0
    return min(1.0, gap / bend) if bend > 0 else 1.0


STEP_RULES: dict[str, Callable[[Situation], float]] = {
    "open-loop": open_loop,
    "fixed": fixed,
    "fixed-best": fixed_best,
    "short": short,
    "exact": exact,
}


def step_rule(name: str) -> Callable[[Situation], float]:
    """The rule of this name; raises `ColaError` if there is none."""
    if name not in STEP_RULES:
        raise ColaError(f"Unknown step rule {name!r}; expected one of {', '.join(STEP_RULES)}.")
    return STEP_RULES[name]
