"""A linear network of two layers, both trained: nonconvex, with a convex problem in its product."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from colarepro.errors import ColaError
from colarepro.theory.problem import Problem, check_matrices, check_radius, check_rank
from colarepro.theory.problems.layers import outputs_beside, side_by_side, split
from colarepro.theory.problems.linear_task import LinearTaskSpec, largest_gram_eigenvalue, stack_draws
from colarepro.theory.problems.regression import LowRankRegression, take_rows
from colarepro.theory.spectral import random_low_rank, spectral_norm


class TwoLayerLinear(Problem):
    """loss(W) = |X W1^T W2^T - Y|_F^2 / (2 N) with W = [W1 | W2^T] (S, hidden, inputs + outputs), see `layers`.

    In P = W2 W1 the loss is a regression, whose best P of rank <= hidden is reduced-rank regression; that is
    ``best_value`` (exact: every such P is a product).

    ``smoothness`` holds for all W within the Frobenius distance ``region`` of ``start``, not beyond. Along
    (D1, D2) the second derivative is mean |(D2 W1 + W2 D1) x|^2 + 2 <G, D2 D1>, G the gradient by P. With
    Λ = lambda_max(X^T X / N), w^2 = |W1|^2 + |W2|^2 at the start (spectral norms) and ρ = region, the first term is at
    most Λ (|W1| |D2| + |W2| |D1|)^2 <= Λ (w + ρ)^2 |D|^2 by Cauchy-Schwarz and Minkowski, the second at most
    |G| |D|^2, and |G| <= |G at the start| + Λ (w ρ + ρ^2 / 2), because P moves by at most
    |W2| |D1| + |W1| |D2| + |D1| |D2|. The sum of both bounds is ``smoothness``.
    """

    name = "two-layer"

    def __init__(
        self,
        inputs: Tensor,
        targets: Tensor,
        start: Tensor,
        test_inputs: Tensor,
        test_targets: Tensor,
        *,
        region: float = 1.0,
    ) -> None:
        check_radius(region)
        self.start = check_matrices("starting weight", start)
        count, hidden, _ = self.start.shape
        self._inputs = check_matrices("input matrix", inputs, count, None, None)
        m, n = outputs_beside(self.start, self._inputs, 1), self._inputs.shape[2]
        first, second = split(self.start, n)
        # The regression in P, from zero; it checks the other data.
        product = LowRankRegression(self._inputs, targets, torch.zeros_like(second @ first), test_inputs, test_targets)
        self._targets, self.samples = targets.to(torch.float64), product.samples
        self._test_inputs, self._test_targets = test_inputs.to(torch.float64), test_targets.to(torch.float64)
        self._gram = self._inputs.mT @ self._inputs / self.samples
        self._optimum = product.best_at_rank(min(m, n)).weight
        self._floor = product.best_value
        # What a product of rank <= hidden must leave over the least squares.
        self._rest = product.excess(product.best_at_rank(min(hidden, m, n)).weight) * (hidden < min(m, n))
        self.best_value = self._floor + self._rest
        self.region = float(region)
        self.gradient_flops = 6 * hidden * m * n + 2 * m * n * n
        norm = (spectral_norm(first).square() + spectral_norm(second).square()).sqrt()
        moved = norm * self.region + self.region**2 / 2
        slope = spectral_norm(product.gradient(second @ first))
        self.smoothness = largest_gram_eigenvalue(self._inputs) * ((norm + self.region).square() + moved) + slope

    def product(self, weight: Tensor) -> Tensor:
        """P = W2 W1 (S, outputs, inputs)."""
        first, second = split(weight, self._inputs.shape[2])
        return second @ first

    # Around the least-squares product, as in `LowRankRegression`: the excess then does not cancel.
    def loss(self, weight: Tensor) -> Tensor:
        return self._floor + self._above(weight)

    def excess(self, weight: Tensor) -> Tensor:
        return self._above(weight) - self._rest

    def gradient(self, weight: Tensor) -> Tensor:
        return self._chain(weight, (self.product(weight) - self._optimum) @ self._gram)

    def sampled_gradient(self, weight: Tensor, rows: Tensor) -> Tensor:
        inputs, targets = take_rows(self._inputs, rows), take_rows(self._targets, rows)
        return self._chain(weight, (inputs @ self.product(weight).mT - targets).mT @ inputs / rows.shape[1])

    def test_loss(self, weight: Tensor) -> Tensor:
        residual = self._test_inputs @ self.product(weight).mT - self._test_targets
        return residual.square().sum((1, 2)) / (2 * residual.shape[1])

    def _above(self, weight: Tensor) -> Tensor:
        """What the loss of the product has over the least squares (S,)."""
        error = self.product(weight) - self._optimum
        return (error @ self._gram * error).sum((1, 2)) / 2

    def _chain(self, weight: Tensor, slope: Tensor) -> Tensor:
        """The gradient by W of a loss whose gradient by P is ``slope`` (S, outputs, inputs)."""
        first, second = split(weight, self._inputs.shape[2])
        return side_by_side(second.mT @ slope, slope @ first.mT)


@dataclass(frozen=True, kw_only=True)
class TwoLayerSpec(LinearTaskSpec):
    """Y = X (start + shift)^T + noise, where ``start`` and start + shift are products of rank <= ``hidden``.

    The pre-trained product is U V^T with orthonormal columns (all its singular values are 1), of rank
    min(hidden, outputs, inputs), and the shift lies in its column space. The layers start balanced,
    W1 = Q V^T and W2 = U Q^T with random orthonormal columns Q. So W1 + Q U^T shift fits the target: one update of W
    of rank ``rank`` and of the shift's ``nuclear_norm``.
    ``region`` is the radius of the Frobenius ball on which the smoothness constant holds; the default holds the
    nuclear-norm ball with that radius.
    """

    outputs: int = 8
    inputs: int = 12
    hidden: int = 8
    rank: int = 2
    size: float = 1.0
    noise: float = 0.0
    region: float = 2.0
    name = TwoLayerLinear.name

    def __post_init__(self) -> None:
        super().__post_init__()
        check_radius(self.region)
        if self.hidden < 1 or not 0 <= self.noise < math.inf:
            raise ColaError(
                f"A two-layer problem with {self.hidden} hidden units and noise {self.noise} was asked for; expected "
                "at least 1 and a finite number of at least 0."
            )
        check_rank(self.rank, (self.hidden, min(self.outputs, self.inputs)))

    def draw(self, seeds: Sequence[int]) -> TwoLayerLinear:
        return TwoLayerLinear(*stack_draws(self._draw, seeds), region=self.region)

    def _draw(self, seed: int) -> tuple[Tensor, ...]:
        task = self.task(seed)
        rank = min(self.hidden, self.outputs, self.inputs)
        left, _, right = torch.linalg.svd(task.start, full_matrices=False)
        left, right = left[:, :rank], right[:rank]
        shift = self.size * left @ random_low_rank((rank, self.inputs), self.rank, self.decay, task.generator)
        turn = torch.linalg.qr(task.normal(self.hidden, rank)).Q
        targets, test_targets = (
            inputs @ (left @ right + shift).T + self.noise * task.normal(len(inputs), self.outputs)
            for inputs in (task.train, task.test)
        )
        return task.train, targets, side_by_side(turn @ right, left @ turn.T), task.test, test_targets
