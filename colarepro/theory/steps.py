"""Step rules for Frank-Wolfe: how far to go from W towards the atom V, a number from 0 to 1 a seed."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from colarepro.errors import ColaError


@dataclass
class Situation:
    """What a rule may look at; tensors are (S,).

    ``index`` counts steps from 0, of ``steps`` in all; ``gap`` is <gradient, W - V>; ``squared_length`` is
    |V - W|_F^2; ``smoothness`` is L; ``diameter`` is that of the ball in the Frobenius norm; ``start_excess``
    is a bound on loss(start) - the least loss in the ball; ``curvature`` returns the second derivatives of a
    quadratic along V - W, ``change`` the losses at steps (S,) less the loss here; ``estimate`` is the running
    estimate of L, which the adaptive rule writes.
    """

    index: int
    steps: Tensor
    gap: Tensor
    squared_length: Tensor
    smoothness: Tensor
    diameter: float
    start_excess: Tensor
    curvature: Callable[[], Tensor]
    change: Callable[[Tensor], Tensor]
    estimate: Tensor


def open_loop(at: Situation) -> Tensor:
    """2 / (t + 2), which needs nothing but the count (Jaggi 2013)."""
    return torch.full_like(at.gap, 2 / (at.index + 2))


def fixed(at: Situation) -> Tensor:
    """sqrt(M / (beta T)) / D, the step of COLA's Theorem 4.1, with M the excess of the start; at most 1."""
    return ((at.start_excess / (at.smoothness * at.steps)).sqrt() / at.diameter).clamp(max=1)


def fixed_best(at: Situation) -> Tensor:
    """sqrt(2 M / (beta T)) / D, which minimises the right-hand side of that theorem's proof; at most 1."""
    return ((2 * at.start_excess / (at.smoothness * at.steps)).sqrt() / at.diameter).clamp(max=1)


def short(at: Situation) -> Tensor:
    """gap / (L |V - W|^2), the minimiser of the smoothness bound; at most 1 (Demyanov & Rubinov)."""
    return _ratio(at.gap, at.smoothness * at.squared_length)


def nonconvex(at: Situation) -> Tensor:
    """gap / (L D^2), at most 1: the step of Lacoste-Julien (2016) with C = L D^2."""
    return _ratio(at.gap, at.smoothness * at.diameter**2)


def exact(at: Situation) -> Tensor:
    """gap / curvature, the minimiser of a quadratic loss on the segment; at most 1."""
    return _ratio(at.gap, at.curvature())


def adaptive(at: Situation) -> Tensor:
    """The short step with an estimate of L that is doubled until the smoothness bound holds at the new point and
    cut by a tenth at every step (Pedregosa et al. 2020). The estimate begins at L, and is never above 2 L."""
    at.estimate = 0.9 * at.estimate
    while True:
        step = _ratio(at.gap, at.estimate * at.squared_length)
        promised = step * at.gap - step.square() * at.estimate * at.squared_length / 2
        rounding = 1e-12 * at.gap.abs()
        broken = at.change(step) > -promised + rounding
        broken &= at.estimate < at.smoothness  # above L the bound is a theorem; what is left is rounding
        if not bool(broken.any()):
            return step
        at.estimate = torch.where(broken, 2 * at.estimate, at.estimate)


def _ratio(gap: Tensor, bend: Tensor) -> Tensor:
    """gap / bend from 0 to 1: 0 without a gap (rounding, or an inexact oracle), 1 where nothing bends."""
    ratio = (gap / bend.clamp(min=torch.finfo(bend.dtype).tiny)).clamp(max=1)
    return torch.where(gap <= 0, 0, ratio)


STEP_RULES: dict[str, Callable[[Situation], Tensor]] = {
    "open-loop": open_loop,
    "fixed": fixed,
    "fixed-best": fixed_best,
    "short": short,
    "nonconvex": nonconvex,
    "exact": exact,
    "adaptive": adaptive,
}


def step_rule(name: str) -> Callable[[Situation], Tensor]:
    """The rule of this name; raises `ColaError` if there is none."""
    if name not in STEP_RULES:
        raise ColaError(f"Unknown step rule {name!r}; expected one of {', '.join(STEP_RULES)}.")
    return STEP_RULES[name]
