"""The contract of a problem: what every method minimises and what every bound is checked against."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self, TypeVar

import torch
from torch import Tensor

from colarepro.errors import ColaError


@dataclass(frozen=True)
class Reference:
    """Certified best points of some set: weights (S, m, n) and their training losses (S,)."""

    weight: Tensor
    value: Tensor


class Problem(ABC):
    """Minimise ``loss`` over float64 weights W of ``shape`` (m, n), from ``start``, for S seeds at once.

    Every tensor has the seeds first: weights are (S, m, n), losses (S,). Seeds share nothing but the shapes, so
    an operation on all of them is S runs. The *update* of a weight is W - start: ranks, norms and the
    nuclear-norm ball are those of the update, as in fine-tuning, where ``start`` is the pre-trained weight.

    Attributes: ``name`` (one word); ``start`` (S, m, n); ``smoothness`` (S,), a constant L with
    ``|gradient(V) - gradient(W)|_F <= L |V - W|_F`` (exact, or an upper bound that the class proves);
    ``best_value`` (S,), the minimum of ``loss`` over all W, or a lower bound where the class says so;
    ``quadratic``, whether ``curvature`` is defined; ``samples``, the number of terms that ``sampled_gradient``
    draws from (0: there is none); ``gradient_flops``, floating-point operations of one full gradient of one
    seed (matrix products only).

    Every class checks its data before any work and raises `ColaError` (a ``ValueError``) of one sentence for
    a rank below 1 or above min(m, n), a radius that is not above 0, data that is not finite, and shapes that
    do not fit together.
    """

    name: str
    start: Tensor
    smoothness: Tensor
    best_value: Tensor
    quadratic: bool = False
    samples: int = 0
    gradient_flops: int

    @property
    def count(self) -> int:
        """S, the number of seeds."""
        return self.start.shape[0]

    @property
    def shape(self) -> tuple[int, int]:
        """(m, n): outputs and inputs, as in ``torch.nn.Linear``."""
        return self.start.shape[1], self.start.shape[2]

    @abstractmethod
    def loss(self, weight: Tensor) -> Tensor:
        """Training losses (S,) at weights (S, m, n)."""

    @abstractmethod
    def gradient(self, weight: Tensor) -> Tensor:
        """Gradients (S, m, n) of the training loss at weights (S, m, n)."""

    @abstractmethod
    def test_loss(self, weight: Tensor) -> Tensor:
        """Losses (S,) on data that training does not see, in the units of ``loss``; NaN where there is none."""

    def sampled_gradient(self, weight: Tensor, rows: Tensor) -> Tensor:
        """Mean gradient (S, m, n) over the training samples ``rows`` (S, b), each from 0 to ``samples`` - 1.

        Unbiased for uniform rows. Raises `ColaError` for a loss that is no mean over samples.
        """
        raise ColaError(f"The problem {self.name} is no mean over samples, so it has no minibatch gradient.")

    def excess(self, weight: Tensor) -> Tensor:
        """``loss(weight) - best_value`` (S,); a class overrides it where the difference cancels."""
        return self.loss(weight) - self.best_value

    def curvature(self, direction: Tensor) -> Tensor:
        """For a quadratic loss, its second derivatives (S,) along directions (S, m, n).

        Raises `ColaError` for a loss that is not quadratic: exact line search needs this number.
        """
        raise ColaError(f"The problem {self.name} is not quadratic, so exact line search is not defined on it.")

    def atom_curvature(self, left: Tensor, right: Tensor) -> Tensor:
        """``curvature`` (S,) along the rank-one ``left right^T``, with left (S, m) and right (S, n); a class overrides
        it where that is cheaper than the whole matrix."""
        return self.curvature(left[:, :, None] * right[:, None, :])

    def best_at_rank(self, rank: int) -> Reference | None:
        """The best weights whose update has at most this rank, or None where no closed form is known."""
        check_rank(rank, self.shape)
        return None

    def best_in_ball(self, radius: float) -> Reference | None:
        """The best weights whose update has nuclear norm <= radius, or None where no closed form is known."""
        check_radius(radius)
        return None

    def take(self, seeds: Sequence[int] | Tensor) -> Self:
        """The same problem for these positions of the batch, in this order; a position may come twice."""
        index = torch.as_tensor(seeds, dtype=torch.int64)
        taken = copy.copy(self)
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                setattr(taken, name, value[index])
        return taken


P = TypeVar("P", bound=Problem)


def join(problems: Sequence[P]) -> P:
    """One batch of several problems of one class and of equal sizes, in this order."""
    joined = copy.copy(problems[0])
    for name, value in vars(joined).items():
        if isinstance(value, Tensor):
            setattr(joined, name, torch.cat([getattr(problem, name) for problem in problems]))
    return joined


class ProblemSpec(Protocol):
    """A frozen dataclass of JSON-plain fields that draws a problem from seeds; a seed's draw depends on it alone."""

    def draw(self, seeds: Sequence[int]) -> Problem: ...

    def config(self) -> dict[str, Any]: ...


def check_rank(rank: int, shape: tuple[int, int]) -> None:
    """Raise `ColaError` unless 1 <= rank <= min(shape)."""
    if not 1 <= rank <= min(shape):
        raise ColaError(f"Rank {rank} was given for a {shape[0]} x {shape[1]} matrix; expected 1 to {min(shape)}.")


def check_radius(radius: float) -> None:
    """Raise `ColaError` unless the radius is a finite number above 0."""
    if not 0 < radius < float("inf"):
        raise ColaError(f"Radius {radius} was given; expected a finite number above 0.")


def check_matrices(what: str, matrices: Tensor, *shape: int | None) -> Tensor:
    """The batch as float64; raise `ColaError` unless it is a finite, non-empty (S, rows, columns) that fits
    ``shape`` (the leading sizes wanted, None: any)."""
    wanted = (*shape, None, None, None)[:3]
    expected = " x ".join("any" if size is None else str(size) for size in wanted)
    fits = matrices.ndim == 3 and all(want in (None, size) for want, size in zip(wanted, matrices.shape, strict=True))
    if not fits or not matrices.numel():
        raise ColaError(f"The {what} has shape {tuple(matrices.shape)}; expected a non-empty batch ({expected}).")
    if not bool(torch.isfinite(matrices).all()):
        raise ColaError(f"The {what} holds a value that is not finite; expected finite numbers only.")
    return matrices.to(torch.float64)
