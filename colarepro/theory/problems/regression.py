"""Multi-output linear regression whose solution is a low-rank shift of the starting weight."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from colarepro.errors import ColaError
from colarepro.theory.problem import Problem, Reference, check_matrices, check_radius, check_rank
from colarepro.theory.problems.linear_task import LinearTaskSpec, stack_draws
from colarepro.theory.spectral import nuclear_norm, project_nuclear_ball, truncate


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
        # A seed each, so that `take` keeps it right.
        self._isotropic = torch.isclose(self._gram, self.smoothness[:, None, None] * identity).flatten(1).all(1)

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

    def atom_curvature(self, left: Tensor, right: Tensor) -> Tensor:
        along = (right[:, None] @ self._gram @ right[:, :, None])[:, 0, 0]
        return left.square().sum(1) * along

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
        if bool(self._isotropic.all()):
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


@dataclass(frozen=True, kw_only=True)
class RegressionSpec(LinearTaskSpec):
    """Y = X (start + shift)^T + noise, with a shift of low rank and a test split from the same law.

    ``noise`` is a standard deviation. ``isotropic`` makes X^T X / N the identity exactly, which needs
    ``samples >= inputs`` and a ``condition`` of 1.
    """

    noise: float = 0.0
    isotropic: bool = False
    name = LowRankRegression.name

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.noise < math.inf:
            raise ColaError(f"The noise is {self.noise}; expected a finite number of at least 0.")
        if self.isotropic and (self.samples < self.inputs or self.condition != 1):
            raise ColaError("An isotropic design needs at least as many samples as inputs and a condition of 1.")

    def draw(self, seeds: Sequence[int]) -> LowRankRegression:
        return LowRankRegression(*stack_draws(self._draw, seeds))

    def _draw(self, seed: int) -> tuple[Tensor, ...]:
        task = self.task(seed)
        train = math.sqrt(self.samples) * torch.linalg.qr(task.train).Q if self.isotropic else task.train
        targets, test_targets = (
            inputs @ (task.start + task.shift).T + self.noise * task.normal(len(inputs), self.outputs)
            for inputs in (train, task.test)
        )
        return train, targets, task.start, task.test, test_targets
