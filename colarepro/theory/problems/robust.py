"""Robust regression: a bounded, nonconvex loss on targets of which a share are outliers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from colarepro.errors import ColaError
from colarepro.theory.problem import Problem, check_matrices
from colarepro.theory.problems.linear_task import LinearTaskSpec, largest_gram_eigenvalue, stack_draws
from colarepro.theory.problems.regression import take_rows


class RobustRegression(Problem):
    """loss(W) = mean over samples of the sum over outputs of rho(r), r the entries of X W^T - Y (S, N, m).

    rho(r) = r^2 / (2 (1 + (r / scale)^2)) (Geman & McClure 1987), which is r^2 / 2 near zero and stays below
    scale^2 / 2. With t = (r / scale)^2 its second derivative is (1 - 3 t) / (1 + t)^3, from -1/4 (at t = 1) to 1
    (at t = 0), so ``smoothness`` is lambda_max(X^T X / N), exact at weights that fit every target.
    ``best_value`` is 0: the minimum where the targets can be fitted, a lower bound otherwise.
    """

    name = "robust"

    def __init__(
        self,
        inputs: Tensor,
        targets: Tensor,
        start: Tensor,
        test_inputs: Tensor,
        test_targets: Tensor,
        *,
        scale: float = 1.0,
    ) -> None:
        if not 0 < scale < math.inf:
            raise ColaError(f"The scale of the robust loss is {scale}; expected a finite number above 0.")
        self.start = check_matrices("starting weight", start)
        count, m, n = self.start.shape
        self._inputs = check_matrices("input matrix", inputs, count, None, n)
        self.samples = self._inputs.shape[1]
        self._targets = check_matrices("target matrix", targets, count, self.samples, m)
        self._test_inputs = check_matrices("test input matrix", test_inputs, count, None, n)
        self._test_targets = check_matrices("test target matrix", test_targets, count, self._test_inputs.shape[1], m)
        self._scale = float(scale)
        self.gradient_flops = 4 * self.samples * m * n
        self.smoothness = largest_gram_eigenvalue(self._inputs)
        self.best_value = torch.zeros_like(self.smoothness)

    def loss(self, weight: Tensor) -> Tensor:
        return self._mean(self._inputs @ weight.mT - self._targets)

    def gradient(self, weight: Tensor) -> Tensor:
        return self._gradient(weight, self._inputs, self._targets)

    def sampled_gradient(self, weight: Tensor, rows: Tensor) -> Tensor:
        return self._gradient(weight, take_rows(self._inputs, rows), take_rows(self._targets, rows))

    def test_loss(self, weight: Tensor) -> Tensor:
        return self._mean(self._test_inputs @ weight.mT - self._test_targets)

    def _mean(self, residual: Tensor) -> Tensor:
        t = (residual / self._scale).square()
        return self._scale**2 / 2 * (t / (1 + t)).sum(2).mean(1)

    def _gradient(self, weight: Tensor, inputs: Tensor, targets: Tensor) -> Tensor:
        residual = inputs @ weight.mT - targets
        slope = residual / (1 + (residual / self._scale).square()).square()
        return slope.mT @ inputs / inputs.shape[1]


@dataclass(frozen=True, kw_only=True)
class RobustSpec(LinearTaskSpec):
    """Y = X (start + shift)^T + noise, and a share ``outliers`` of its entries off by ``outlier_size`` more.

    ``noise`` and ``outlier_size`` are standard deviations. The test split follows the same law, outliers included.
    ``scale`` is the loss's: residuals well above it hardly count.
    """

    size: float = 2.0
    noise: float = 0.0
    outliers: float = 0.1
    outlier_size: float = 10.0
    scale: float = 1.0
    name = RobustRegression.name

    def __post_init__(self) -> None:
        super().__post_init__()
        spreads = (self.noise, self.outlier_size)
        if not all(0 <= spread < math.inf for spread in spreads) or not 0 <= self.outliers < 1:
            raise ColaError(
                f"The noise, outlier size and share of outliers are {self.noise}, {self.outlier_size} and "
                f"{self.outliers}; expected two finite numbers of at least 0 and a share from 0 to below 1."
            )
        if not 0 < self.scale < math.inf:
            raise ColaError(f"The scale of the robust loss is {self.scale}; expected a finite number above 0.")

    def draw(self, seeds: Sequence[int]) -> RobustRegression:
        return RobustRegression(*stack_draws(self._draw, seeds), scale=self.scale)

    def _draw(self, seed: int) -> tuple[Tensor, ...]:
        task = self.task(seed)

        def targets(inputs: Tensor) -> Tensor:
            clean = inputs @ (task.start + task.shift).T
            off = task.uniform(*clean.shape) < self.outliers
            return clean + self.noise * task.normal(*clean.shape) + off * self.outlier_size * task.normal(*clean.shape)

        return task.train, targets(task.train), task.start, task.test, targets(task.test)
