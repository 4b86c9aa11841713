"""What is measured along a run, and the words for how it ended."""

import enum
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from colarepro.theory.problem import Problem
from colarepro.theory.state import Answer, State

RANK_TOLERANCE = 1e-9  # relative to the largest singular value; float64 merges leave about 1e-15


class Status(enum.Enum):
    """How a run ended, in a sentence."""

    DONE = "The run used all its gradient evaluations."
    CONVERGED = "The Frank-Wolfe gap fell to the tolerance."
    TIMED_OUT = "The run used all its seconds."
    DIVERGED = "The gradient or the loss left all bounds; the trace up to that step is kept."


@dataclass
class Trace:
    """One entry a measurement in every list; an entry is (S,), one number a seed, unless said otherwise.

    ``step`` (one integer) steps so far; ``loss``, ``excess`` (loss - best value) and ``test_loss`` in the
    problem's units; ``gradient_norm`` (Frobenius); ``gap``, the Frank-Wolfe gap max <gradient, W - V> over V in
    the ball round the start (NaN without a radius; below 0 is possible for a W outside the ball); ``rank`` and
    ``update_norm`` (Frobenius) of W - start; ``oracle_share``, by how much the current link's direction misses
    the best rank-one atom for the gradient that the link began at, as a share: 0 is an exact oracle, 1 gains
    nothing; ``oracle_error`` the same as the additive epsilon of COLA's Theorem 4.1, scaled to the ball (NaN
    without a radius). Numbers alone: ``gradients``, ``lmo_calls``, ``svds`` and ``flops`` of one seed so far;
    ``seconds`` of stepping all seeds together. After a seed's end its entries are NaN.
    """

    step: list[int] = field(default_factory=list)
    loss: list[np.ndarray] = field(default_factory=list)
    excess: list[np.ndarray] = field(default_factory=list)
    test_loss: list[np.ndarray] = field(default_factory=list)
    gradient_norm: list[np.ndarray] = field(default_factory=list)
    gap: list[np.ndarray] = field(default_factory=list)
    rank: list[np.ndarray] = field(default_factory=list)
    update_norm: list[np.ndarray] = field(default_factory=list)
    oracle_share: list[np.ndarray] = field(default_factory=list)
    oracle_error: list[np.ndarray] = field(default_factory=list)
    gradients: list[float] = field(default_factory=list)
    lmo_calls: list[int] = field(default_factory=list)
    svds: list[int] = field(default_factory=list)
    flops: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def measure(
        self,
        problem: Problem,
        weight: Tensor,
        live: Tensor,
        step: int,
        state: State,
        answer: Answer | None,
        seconds: float,
        radius: float | None,
    ) -> None:
        """Append one measurement of weights (S, m, n) for the seeds that ``live`` (S,) marks."""
        update, gradient = weight - problem.start, problem.gradient(weight)
        finite = torch.isfinite(update).flatten(1).all(1) & torch.isfinite(gradient).flatten(1).all(1)
        values = _singular_values(update, finite)
        slope = _singular_values(gradient, finite)[:, 0]
        ranks = (values > RANK_TOLERANCE * values[:, :1]).sum(1).to(values.dtype)
        gap = torch.full_like(slope, torch.nan)
        share, error = gap, gap
        if radius is not None:
            gap = (gradient * update).sum((1, 2)) + radius * slope
        if answer is not None:
            share, largest = oracle_share(answer)
            error = share * largest * radius if radius is not None else error
        entries = {
            "loss": problem.loss(weight),
            "excess": problem.excess(weight),
            "test_loss": problem.test_loss(weight),
            "gradient_norm": torch.linalg.matrix_norm(gradient),
            "gap": torch.where(finite, gap, torch.nan),
            "rank": torch.where(finite, ranks, torch.nan),
            "update_norm": torch.where(finite, values.norm(dim=1), torch.nan),
            "oracle_share": share,
            "oracle_error": error,
        }
        for name, entry in entries.items():
            getattr(self, name).append(torch.where(live, entry, torch.nan).numpy())
        self.step.append(step)
        for name in ("gradients", "lmo_calls", "svds", "flops"):
            getattr(self, name).append(getattr(state, name))
        self.seconds.append(seconds)


def oracle_share(answer: Answer) -> tuple[Tensor, Tensor]:
    """1 + <G, D> / (sigma_1(G) |D|_*) for a direction D, and sigma_1(G), each (S,); NaN where D or G is zero."""
    finite = torch.isfinite(answer.direction).flatten(1).all(1) & torch.isfinite(answer.gradient).flatten(1).all(1)
    largest = _singular_values(answer.gradient, finite)[:, 0]
    nuclear = _singular_values(answer.direction, finite).sum(1)
    share = 1 + (answer.gradient * answer.direction).sum((1, 2)) / (largest * nuclear)
    return share, largest


def _singular_values(matrix: Tensor, finite: Tensor) -> Tensor:
    """Singular values (S, k), zeros where a matrix is not finite: LAPACK refuses NaN and Inf."""
    return torch.linalg.svdvals(torch.where(finite[:, None, None], matrix, 0))
