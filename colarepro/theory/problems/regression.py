"""Multi-output linear regression whose solution is a low-rank shift of the starting weight."""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from colarepro.errors import ColaError
from colarepro.theory.problem import Problem, Reference, check_matrices, check_radius, check_rank
from colarepro.theory.spectral import nuclear_norm, project_nuclear_ball, random_low_rank, truncate


class LowRankRegression(Problem):
    """loss(W) = |X W^T - Y|_F^2 / (2 N), with X (S, N, n) and Y (S, N, m).

    ``smoothness`` is the largest eigenvalue of X^T X / N (exact). The optimum is the least-squares solution
    nearest to ``start``; the best update of rank k is reduced-rank regression (Izenman 1975). Over the
    nuclear-norm ball a closed form is known if the optimum lies inside, or if the design is isotropic.
    """

    name = "regression"
    quadratic = True

    def __init__(
        self, inputs: Tensor, targets: Tensor, start: Tensor, test_inputs: Tensor, test_targets: Tensor
    ) -> None:
        self.start = check_matrices("starting weight", start)
        count, m, n = self.start.shape
        self._inputs = check_matrices("input matrix", inputs, count, None, n)
        self.samples = self._inputs.shape[1]
        self._targets = check_matrices("target matrix", targets, count, self.samples, m)
        self._test_inputs = check_matrices("test input matrix", test_inputs, count, None, n)
        self._test_targets = check_matrices("test target matrix", test_targets, count, self._test_inputs.shape[1], m)
        self.gradient_flops = 2 * m * n * n
        self._gram = self._inputs.mT @ self._inputs / self.samples
        eigenvalues, vectors = torch.linalg.eigh(self._gram)
        self.smoothness = eigenvalues[:, -1]
        if not bool((self.smoothness > 0).all()):
            raise ColaError("The input matrix is zero everywhere; expected at least one input that is not.")
        kept = eigenvalues > 1e-12 * self.smoothness[:, None]
        roots = torch.where(kept, eigenvalues, 1).sqrt()
        self._root = vectors * torch.where(kept, roots, 0)[:, None] @ vectors.mT
        self._inverse_root = vectors * torch.where(kept, 1 / roots, 0)[:, None] @ vectors.mT
        # Strong convexity on the space that the data see: the loss obeys the PL inequality with it.
        self.strong_convexity = torch.where(kept, eigenvalues, torch.inf).amin(1)
        residual = self._targets - self._inputs @ self.start.mT
        moment = residual.mT @ self._inputs / self.samples
        self._optimum = self.start + moment @ self._inverse_root @ self._inverse_root
        self.best_value = _half_mean_square(self._targets - self._inputs @ self._optimum.mT)
        identity = torch.eye(n, dtype=torch.float64)
        self._isotropic = bool(torch.allclose(self._gram, self.smoothness[:, None, None] * identity))

    # The gradient vanishes at the optimum, so loss and gradient are written around it: the excess is then
    # exact to the last digits, where a difference of two residual sums would cancel.
    def loss(self, weight: Tensor) -> Tensor:
        return self.best_value + self.excess(weight)

    def excess(self, weight: Tensor) -> Tensor:
        return self.curvature(weight - self._optimum) / 2

    def gradient(self, weight: Tensor) -> Tensor:
        return (weight - self._optimum) @ self._gram

    def sampled_gradient(self, weight: Tensor, rows: Tensor) -> Tensor:
        inputs, targets = take_rows(self._inputs, rows), take_rows(self._targets, rows)
        return (inputs @ weight.mT - targets).mT @ inputs / rows.shape[1]

    def curvature(self, direction: Tensor) -> Tensor:
        return (direction @ self._gram * direction).sum((1, 2))

    def test_loss(self, weight: Tensor) -> Tensor:
        return _half_mean_square(self._test_inputs @ weight.mT - self._test_targets)

    def best_at_rank(self, rank: int) -> Reference:
        check_rank(rank, self.shape)
        whitened = (self._optimum - self.start) @ self._root
        return self._reference(self.start + truncate(whitened, rank) @ self._inverse_root)

    def best_in_ball(self, radius: float) -> Reference | None:
        check_radius(radius)
        update = self._optimum - self.start
        if bool((nuclear_norm(update) <= radius * (1 + 1e-12)).all()):
            return self._reference(self._optimum)
        if self._isotropic:
            return self._reference(self.start + project_nuclear_ball(update, radius))
        return None

    def _reference(self, weight: Tensor) -> Reference:
        return Reference(weight, self.loss(weight))


def take_rows(matrices: Tensor, rows: Tensor) -> Tensor:
    """Rows (S, b) of matrices (S, N, k), as (S, b, k)."""
    return matrices.gather(1, rows[:, :, None].expand(-1, -1, matrices.shape[2]))


def _half_mean_square(residual: Tensor) -> Tensor:
    """Half the squared norm of a residual (S, N, m), by sample."""
    return residual.square().sum((1, 2)) / (2 * residual.shape[1])


@dataclass(frozen=True)
class RegressionSpec:
    """Y = X (start + shift)^T + noise, with a shift of low rank and a test split from the same law.

    ``condition`` is that of the inputs' covariance (eigenvalues spaced geometrically, mean 1).
    ``isotropic`` makes X^T X / N the identity exactly, which needs ``samples >= inputs``.
    ``size`` is the shift's largest singular value and ``decay`` the ratio of each one to the one before.
    """

    outputs: int = 12
    inputs: int = 16
    samples: int = 64
    rank: int = 3
    size: float = 4.0
    decay: float = 0.8
    condition: float = 1.0
    noise: float = 0.0
    test_samples: int = 1000
    isotropic: bool = False

    def __post_init__(self) -> None:
        if min(self.outputs, self.inputs, self.samples, self.test_samples) < 1:
            raise ColaError("A regression needs at least one output, input, sample and test sample.")
        check_rank(self.rank, (self.outputs, self.inputs))
        numbers = (self.size, self.decay, self.condition, self.noise)
        if not all(map(math.isfinite, numbers)) or self.condition < 1 or self.noise < 0:
            raise ColaError("A regression needs finite numbers, a condition of at least 1 and a noise of at least 0.")
        if self.isotropic and (self.samples < self.inputs or self.condition != 1):
            raise ColaError("An isotropic design needs at least as many samples as inputs and a condition of 1.")

    @property
    def nuclear_norm(self) -> float:
        """Nuclear norm of the shift, the same for every seed."""
        return self.size * sum(self.decay**index for index in range(self.rank))

    def config(self) -> dict[str, Any]:
        return {"name": LowRankRegression.name, **dataclasses.asdict(self)}

    def draw(self, seeds: Sequence[int]) -> LowRankRegression:
        return LowRankRegression(*map(torch.stack, zip(*map(self._draw, seeds), strict=True)))

    def _draw(self, seed: int) -> tuple[Tensor, ...]:
        generator = torch.Generator().manual_seed(seed)

        def normal(*size: int) -> Tensor:
            return torch.randn(*size, dtype=torch.float64, generator=generator)

        start = normal(self.outputs, self.inputs) / math.sqrt(self.inputs)
        shift = self.size * random_low_rank((self.outputs, self.inputs), self.rank, self.decay, generator)
        scales = self.condition ** -torch.linspace(0, 1, self.inputs, dtype=torch.float64)
        scales = (scales / scales.mean()).sqrt()
        train, test = normal(self.samples, self.inputs) * scales, normal(self.test_samples, self.inputs) * scales
        if self.isotropic:
            train = math.sqrt(self.samples) * torch.linalg.qr(train).Q
        targets, test_targets = (
            inputs @ (start + shift).T + self.noise * normal(len(inputs), self.outputs) for inputs in (train, test)
        )
        return train, targets, start, test, test_targets
