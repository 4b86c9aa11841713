"""What is measured along a run, and the words for how it ended."""

import enum
import math
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from colarepro.theory.problem import Problem

RANK_TOLERANCE = 1e-9  # relative to the largest singular value; float64 merges leave about 1e-15


class Status(enum.Enum):
    """How a run ended, in a sentence."""

    DONE = "The run used all its gradient evaluations."
    CONVERGED = "The Frank-Wolfe gap fell to the tolerance."
    TIMED_OUT = "The run used all its seconds."
    DIVERGED = "The gradient or the loss left all bounds; the trace up to that step is kept."


class Counters(Protocol):
    gradients: int
    lmo_calls: int


@dataclass
class Trace:
    """One entry a measurement in every list.

    ``step`` steps so far; ``loss``, ``excess`` (loss - best value) and ``test_loss`` in the problem's units;
    ``gradient_norm`` (Frobenius); ``gap``, the Frank-Wolfe gap max <gradient, W - V> over V in the ball round
    the start (NaN without a radius; below 0 is possible for a W outside the ball); ``rank`` and
    ``update_norm`` (Frobenius) of W - start; ``gradients`` and ``lmo_calls`` so far; ``seconds`` of stepping.
    After divergence the entries that do not exist are NaN.
    """

    step: list[int] = field(default_factory=list)
    loss: list[float] = field(default_factory=list)
    excess: list[float] = field(default_factory=list)
    test_loss: list[float] = field(default_factory=list)
    gradient_norm: list[float] = field(default_factory=list)
    gap: list[float] = field(default_factory=list)
    rank: list[int] = field(default_factory=list)
    update_norm: list[float] = field(default_factory=list)
    gradients: list[int] = field(default_factory=list)
    lmo_calls: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def measure(
        self, problem: Problem, weight: Tensor, step: int, counters: Counters, seconds: float, radius: float | None
    ) -> float:
        """Append one measurement of a weight (m, n) and return its Frank-Wolfe gap."""
        update, gradient = weight - problem.start, problem.gradient(weight)
        finite = bool(torch.isfinite(update).all()) and bool(torch.isfinite(gradient).all())
        values = torch.linalg.svdvals(update) if finite else update.new_zeros(1)  # LAPACK refuses NaN and Inf
        gap = math.nan
        if radius is not None and finite:
            gap = float((gradient * update).sum()) + radius * float(torch.linalg.matrix_norm(gradient, 2))
        self.step.append(step)
        self.loss.append(problem.loss(weight))
        self.excess.append(problem.excess(weight))
        self.test_loss.append(problem.test_loss(weight))
        self.gradient_norm.append(float(gradient.norm()))
        self.gap.append(gap)
        self.rank.append(int((values > RANK_TOLERANCE * values[0]).sum()))
        self.update_norm.append(float(values.norm()) if finite else math.nan)
        self.gradients.append(counters.gradients)
        self.lmo_calls.append(counters.lmo_calls)
        self.seconds.append(seconds)
        return gap
