"""The contract of a problem: what every method minimises and what every bound is checked against."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from colarepro.errors import ColaError


@dataclass(frozen=True)
class Reference:
    """A certified best point of some set: its weight (m, n) and its training loss."""

    weight: Tensor
    value: float


class Problem(ABC):
    """Minimise ``loss`` over float64 weights W of ``shape`` (m, n), starting at ``start``.

    The *update* of a weight is W - start: ranks, norms and the nuclear-norm ball are those of the update,
    as in fine-tuning, where ``start`` is the pre-trained weight. Gradients are full-batch.

    Attributes: ``name`` (one word); ``start`` (m, n); ``smoothness``, a constant L with
    ``|gradient(V) - gradient(W)|_F <= L |V - W|_F`` (exact, or an upper bound that the class proves);
    ``best_value``, the minimum of ``loss`` over all W.

    Every class checks its data before any work and raises `ColaError` (a ``ValueError``) of one sentence for
    a rank below 1 or above min(m, n), a radius that is not above 0, data that is not finite, and shapes that
    do not fit together.
    """

    name: str
    start: Tensor
    smoothness: float
    best_value: float

    @property
    def shape(self) -> tuple[int, int]:
        """(m, n): outputs and inputs, as in ``torch.nn.Linear``."""
        return self.start.shape[0], self.start.shape[1]

    @abstractmethod
    def loss(self, weight: Tensor) -> float:
        """Training loss at a weight (m, n)."""

    @abstractmethod
    def gradient(self, weight: Tensor) -> Tensor:
        """Gradient (m, n) of the training loss at a weight (m, n)."""

    @abstractmethod
    def test_loss(self, weight: Tensor) -> float:
        """Loss on data that training does not see, in the units of ``loss``; NaN where there is none."""

    def excess(self, weight: Tensor) -> float:
        """``loss(weight) - best_value``; a class overrides it where the difference cancels."""
        return self.loss(weight) - self.best_value

    def curvature(self, direction: Tensor) -> float:
        """For a quadratic loss, its second derivative along a direction (m, n).

        Raises `ColaError` for a loss that is not quadratic: exact line search needs this number.
        """
        raise ColaError(f"The problem {self.name} is not quadratic, so exact line search is not defined on it.")

    def best_at_rank(self, rank: int) -> Reference | None:
        """The best weight whose update has at most this rank, or None where no closed form is known."""
        check_rank(rank, self.shape)
        return None

    def best_in_ball(self, radius: float) -> Reference | None:
        """The best weight whose update has nuclear norm <= radius, or None where no closed form is known."""
        check_radius(radius)
        return None


class ProblemSpec(Protocol):
    """A frozen dataclass of JSON-plain fields that draws a problem from a seed; the same seed, the same problem."""

    def draw(self, seed: int) -> Problem: ...

    def config(self) -> dict[str, Any]: ...


def check_rank(rank: int, shape: tuple[int, int]) -> None:
    """Raise `ColaError` unless 1 <= rank <= min(shape)."""
    if not 1 <= rank <= min(shape):
        raise ColaError(f"Rank {rank} was given for a {shape[0]} x {shape[1]} matrix; expected 1 to {min(shape)}.")


def check_radius(radius: float) -> None:
    """Raise `ColaError` unless the radius is a finite number above 0."""
    if not 0 < radius < float("inf"):
        raise ColaError(f"Radius {radius} was given; expected a finite number above 0.")


def check_matrix(what: str, matrix: Tensor, shape: tuple[int | None, int | None] = (None, None)) -> Tensor:
    """The matrix as float64; raise `ColaError` unless it is 2-D, finite, non-empty and fits ``shape`` (None: any)."""
    expected = " x ".join("any" if size is None else str(size) for size in shape)
    fits = matrix.ndim == 2 and all(want in (None, size) for want, size in zip(shape, matrix.shape, strict=True))
    if not fits or not matrix.numel():
        raise ColaError(f"The {what} has shape {tuple(matrix.shape)}; expected a non-empty matrix ({expected}).")
    if not bool(torch.isfinite(matrix).all()):
        raise ColaError(f"The {what} holds a value that is not finite; expected finite numbers only.")
    return matrix.to(torch.float64)
