"""Multi-output linear regression whose solution is a low-rank shift of the starting weight."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from colarepro.errors import ColaError
from colarepro.theory.problem import Problem, Reference, check_matrix, check_radius, check_rank
from colarepro.theory.spectral import nuclear_norm, project_nuclear_ball, random_low_rank, truncate


class LowRankRegression(Problem):
    """loss(W) = |X W^T - Y|_F^2 / (2 N), with X (N, n) and Y (N, m).

    ``smoothness`` is the largest eigenvalue of X^T X / N (exact). The optimum is the least-squares solution
    nearest to ``start``; the best update of rank k is reduced-rank regression (Izenman 1975). Over the
    nuclear-norm ball a closed form is known if the optimum lies inside, or if the design is isotropic.
    """

    name = "regression"

    def __init__(
        self, inputs: Tensor, targets: Tensor, start: Tensor, test_inputs: Tensor, test_targets: Tensor
    ) -> None:
        self.start = check_matrix("starting weight", start)
        m, n = self.start.shape
        inputs = check_matrix("input matrix", inputs, (None, n))
        targets = check_matrix("target matrix", targets, (len(inputs), m))
        self._test_inputs = check_matrix("test input matrix", test_inputs, (None, n))
        self._test_targets = check_matrix("test target matrix", test_targets, (len(self._test_inputs), m))
        self._gram = inputs.T @ inputs / len(inputs)
        eigenvalues, vectors = torch.linalg.eigh(self._gram)
        self.smoothness = float(eigenvalues[-1])
        if self.smoothness <= 0:
            raise ColaError("The input matrix is zero everywhere; expected at least one input that is not.")
        kept = eigenvalues > 1e-12 * self.smoothness
        roots, basis = eigenvalues[kept].sqrt(), vectors[:, kept]
        self._root, self._inverse_root = (basis * roots) @ basis.T, (basis / roots) @ basis.T
        residual = targets - inputs @ self.start.T
        self._optimum = self.start + residual.T @ inputs / len(inputs) @ self._inverse_root @ self._inverse_root
        self.best_value = float((targets - inputs @ self._optimum.T).square().sum()) / (2 * len(inputs))
        self._isotropic = bool(torch.allclose(self._gram, self.smoothness * torch.eye(n, dtype=torch.float64)))

    # The gradient vanishes at the optimum, so loss and gradient are written around it: the excess is then
    # exact to the last digits, where a difference of two residual sums would cancel.
    def loss(self, weight: Tensor) -> float:
        return self.best_value + self.excess(weight)

    def excess(self, weight: Tensor) -> float:
        return self.curvature(weight - self._optimum) / 2

    def gradient(self, weight: Tensor) -> Tensor:
        return (weight - self._optimum) @ self._gram

    def curvature(self, direction: Tensor) -> float:
        return float((direction @ self._gram * direction).sum())

    def test_loss(self, weight: Tensor) -> float:
        residual = self._test_inputs @ weight.T - self._test_targets
        return float(residual.square().sum()) / (2 * len(residual))

    def best_at_rank(self, rank: int) -> Reference:
        check_rank(rank, self.shape)
        whitened = (self._optimum - self.start) @ self._root
        return self._reference(self.start + truncate(whitened, rank) @ self._inverse_root)

    def best_in_ball(self, radius: float) -> Reference | None:
        check_radius(radius)
        update = self._optimum - self.start
        if nuclear_norm(update) <= radius * (1 + 1e-12):
            return self._reference(self._optimum)
        if self._isotropic:
            return self._reference(self.start + project_nuclear_ball(update, radius))
        return None

    def _reference(self, weight: Tensor) -> Reference:
        return Reference(weight, self.loss(weight))


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

    def draw(self, seed: int) -> LowRankRegression:
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
        return LowRankRegression(train, targets, start, test, test_targets)
