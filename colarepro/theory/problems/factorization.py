"""Matrix factorisation: approach a low-rank matrix, seen whole or through a mask."""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from colarepro.errors import ColaError
from colarepro.theory.problem import Problem, Reference, check_matrices, check_radius, check_rank
from colarepro.theory.problems.linear_task import stack_draws
from colarepro.theory.spectral import project_nuclear_ball, random_low_rank, truncate


class MatrixFactorization(Problem):
    """loss(W) = mean over observed entries of (W - M)^2 / 2, with M (S, m, n) and masks (S, m, n) of zeros and ones.

    ``smoothness`` is 1 / number of observed entries (exact) and the optimum is 0. Seen whole, the best update
    of rank k is the truncated SVD of M - start (Eckart-Young), and the best in the nuclear-norm ball its
    projection; through a mask neither has a closed form. The test loss is the same mean against ``test``
    over the entries that training does not observe, or over all of them where it observes all.
    """

    name = "factorization"
    quadratic = True
    gradient_flops = 0  # no matrix product

    def __init__(self, matrix: Tensor, start: Tensor, test: Tensor, mask: Tensor | None = None) -> None:
        self.start = check_matrices("starting weight", start)
        self._matrix = check_matrices("matrix to factorise", matrix, *self.start.shape)
        self._test = check_matrices("test matrix", test, *self.start.shape)
        mask = torch.ones_like(self.start) if mask is None else mask
        self._mask = check_matrices("mask", mask, *self.start.shape)
        if not bool(((self._mask == 0) | (self._mask == 1)).all()) or not bool(self._mask.any(2).any(1).all()):
            raise ColaError("The mask must hold zeros and ones only, and at least one 1.")
        self._test_mask = 1 - self._mask
        whole = self._mask.all(2).all(1)
        self._test_mask[whole] = 1
        self.smoothness = 1 / self._mask.sum((1, 2))
        self.best_value = torch.zeros_like(self.smoothness)

    @property
    def _whole(self) -> bool:
        return bool(self._mask.all())  # asked anew: `take` may leave out the seeds with a hole

    def loss(self, weight: Tensor) -> Tensor:
        return self.curvature(weight - self._matrix) / 2

    def gradient(self, weight: Tensor) -> Tensor:
        return (weight - self._matrix) * self._mask * self.smoothness[:, None, None]

    def curvature(self, direction: Tensor) -> Tensor:
        return (direction.square() * self._mask).sum((1, 2)) * self.smoothness

    def test_loss(self, weight: Tensor) -> Tensor:
        squares = (weight - self._test).square() * self._test_mask
        return squares.sum((1, 2)) / (2 * self._test_mask.sum((1, 2)))

    def best_at_rank(self, rank: int) -> Reference | None:
        check_rank(rank, self.shape)
        return self._reference(truncate(self._matrix - self.start, rank)) if self._whole else None

    def best_in_ball(self, radius: float) -> Reference | None:
        check_radius(radius)
        return self._reference(project_nuclear_ball(self._matrix - self.start, radius)) if self._whole else None

    def _reference(self, update: Tensor) -> Reference:
        return Reference(self.start + update, self.loss(self.start + update))


@dataclass(frozen=True)
class FactorizationSpec:
    """M = shift + noise, started at zero; each entry is observed with probability ``observed``.

    ``size`` is the shift's root mean square entry, ``decay`` the ratio of each singular value to the one
    before, and ``noise`` the standard deviation of the noise on an entry (drawn anew for the test matrix).
    """

    rows: int = 16
    columns: int = 12
    rank: int = 3
    size: float = 1.0
    decay: float = 0.8
    noise: float = 0.0
    observed: float = 1.0

    def __post_init__(self) -> None:
        if min(self.rows, self.columns) < 1:
            raise ColaError("A factorisation needs at least one row and one column.")
        check_rank(self.rank, (self.rows, self.columns))
        if not all(0 <= number < math.inf for number in (self.size, self.noise)) or not 0 < self.decay <= 1:
            raise ColaError(
                f"The size, noise and decay are {self.size}, {self.noise} and {self.decay}; expected two finite "
                "numbers of at least 0 and one above 0 and at most 1."
            )
        if not 0 < self.observed <= 1:
            raise ColaError(f"The observed share is {self.observed}; expected above 0 and at most 1.")

    @property
    def nuclear_norm(self) -> float:
        """Nuclear norm of the shift, the same for every seed."""
        values = [self.decay**index for index in range(self.rank)]
        return self.size * math.sqrt(self.rows * self.columns) * sum(values) / math.hypot(*values)

    def config(self) -> dict[str, Any]:
        return {"name": MatrixFactorization.name, **dataclasses.asdict(self)}

    def draw(self, seeds: Sequence[int]) -> MatrixFactorization:
        return MatrixFactorization(*stack_draws(self._draw, seeds))

    def _draw(self, seed: int) -> tuple[Tensor, ...]:
        shape = (self.rows, self.columns)
        generator = torch.Generator().manual_seed(seed)
        shift = random_low_rank(shape, self.rank, self.decay, generator)
        shift *= self.size / shift.square().mean().sqrt()
        matrix, test = (
            shift + self.noise * torch.randn(shape, dtype=torch.float64, generator=generator) for _ in range(2)
        )
        mask = (torch.rand(shape, dtype=torch.float64, generator=generator) < self.observed).to(torch.float64)
        return matrix, torch.zeros_like(matrix), test, mask
