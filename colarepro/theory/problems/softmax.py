"""Softmax (multinomial logistic) regression whose labels follow a low-rank shift of the starting weight."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from colarepro.errors import ColaError
from colarepro.theory.problem import Problem, Reference, check_matrices, check_radius, check_rank
from colarepro.theory.problems.labels import LARGEST_BEND, check_labels, cross_entropy, probability_error
from colarepro.theory.problems.linear_task import LinearTaskSpec, largest_gram_eigenvalue, stack_draws
from colarepro.theory.problems.regression import take_rows
from colarepro.theory.spectral import nuclear_norm

CERTIFICATE = 1e-14  # the most that ``best_value`` may lie above the minimum
AIM = 1e-20  # what Newton's method runs for: one step more, convergence being quadratic
NEWTON_STEPS = 100


class SoftmaxRegression(Problem):
    """loss(W) = mean cross-entropy of X W^T (S, N, classes) and the labels (S, N), plus ridge / 2 |W - start|_F^2.

    ``smoothness`` is lambda_max(X^T X / N) / 2 + ridge: the second derivative along D is the mean over samples of
    (D x)^T (diag p - p p^T) (D x), at most |D x|^2 / 2 by Böhning's bound (`labels`), plus ridge |D|^2. Two classes
    at p = 1/2 attain it. ``strong_convexity`` (S,) is ridge, so the loss obeys the PL inequality with it.

    The optimum comes from Newton's method, run until |gradient|^2 / (2 ridge), which bounds its excess, is at
    most 1e-14; `ColaError` if it cannot. It solves systems of size classes * inputs: small problems only.
    The test loss is the cross-entropy alone, without the ridge.
    """

    name = "softmax"

    def __init__(
        self,
        inputs: Tensor,
        labels: Tensor,
        start: Tensor,
        test_inputs: Tensor,
        test_labels: Tensor,
        *,
        ridge: float,
    ) -> None:
        if not 0 < ridge < math.inf:
            raise ColaError(f"The ridge is {ridge}; expected a finite number above 0.")
        self.start = check_matrices("starting weight", start)
        count, classes, n = self.start.shape
        self._inputs = check_matrices("input matrix", inputs, count, None, n)
        self.samples = self._inputs.shape[1]
        self._labels = check_labels("labels", labels, count, self.samples, classes)
        self._test_inputs = check_matrices("test input matrix", test_inputs, count, None, n)
        self._test_labels = check_labels("test labels", test_labels, count, self._test_inputs.shape[1], classes)
        self._ridge = float(ridge)
        self.gradient_flops = 4 * self.samples * classes * n
        self.smoothness = LARGEST_BEND * largest_gram_eigenvalue(self._inputs) + self._ridge
        self.strong_convexity = torch.full_like(self.smoothness, self._ridge)
        self._optimum = self._newton()
        self.best_value = self.loss(self._optimum)

    def loss(self, weight: Tensor) -> Tensor:
        return cross_entropy(self._inputs @ weight.mT, self._labels) + self._penalty(weight - self.start)

    def excess(self, weight: Tensor) -> Tensor:
        """The Bregman distance from the optimum, which does not cancel: the gradient there is zero."""
        logits, change = self._inputs @ self._optimum.mT, self._inputs @ (weight - self._optimum).mT
        probabilities = logits.softmax(2)
        near = (probabilities * change.expm1()).sum(2).log1p()
        far = (logits + change).logsumexp(2) - logits.logsumexp(2)
        small = change.abs().amax(2) < 1  # expm1 overflows far away, where the difference does not cancel
        divergence = torch.where(small, near, far) - (probabilities * change).sum(2)
        return divergence.mean(1) + self._penalty(weight - self._optimum)

    def gradient(self, weight: Tensor) -> Tensor:
        return self._gradient(weight, self._inputs, self._labels)

    def sampled_gradient(self, weight: Tensor, rows: Tensor) -> Tensor:
        return self._gradient(weight, take_rows(self._inputs, rows), self._labels.gather(1, rows))

    def test_loss(self, weight: Tensor) -> Tensor:
        return cross_entropy(self._test_inputs @ weight.mT, self._test_labels)

    def best_at_rank(self, rank: int) -> Reference | None:
        check_rank(rank, self.shape)
        return Reference(self._optimum, self.best_value) if rank == min(self.shape) else None

    def best_in_ball(self, radius: float) -> Reference | None:
        check_radius(radius)
        inside = bool((nuclear_norm(self._optimum - self.start) <= radius).all())
        return Reference(self._optimum, self.best_value) if inside else None

    def _penalty(self, difference: Tensor) -> Tensor:
        return self._ridge / 2 * difference.square().sum((1, 2))

    def _gradient(self, weight: Tensor, inputs: Tensor, labels: Tensor) -> Tensor:
        error = probability_error(inputs @ weight.mT, labels)
        return error.mT @ inputs / inputs.shape[1] + self._ridge * (weight - self.start)

    def _newton(self) -> Tensor:
        """The minimisers (S, m, n), by Newton's method with step halving; a seed that has arrived stays."""
        weight = self.start
        for _ in range(NEWTON_STEPS):
            gradient = self.gradient(weight)
            above = gradient.square().sum((1, 2)) / (2 * self._ridge)
            moving = above > AIM
            if not bool(moving.any()):
                break
            step = torch.linalg.solve(self._hessian(weight), gradient.flatten(1)).view_as(weight)
            slope = (gradient * step).sum((1, 2))
            value, eta = self.loss(weight), moving.to(weight.dtype)
            # Armijo, with room for rounding next to the optimum.
            while bool((high := self.loss(weight - eta[:, None, None] * step) > value - eta * slope / 4 + 1e-12).any()):
                eta = torch.where(high, eta / 2, eta)
            weight = weight - eta[:, None, None] * step
        above = self.gradient(weight).square().sum((1, 2)) / (2 * self._ridge)
        if not bool((above <= CERTIFICATE).all()):
            raise ColaError(
                f"Newton's method found no certified optimum with a ridge of {self._ridge}; use a larger one."
            )
        return weight

    def _hessian(self, weight: Tensor) -> Tensor:
        """Second derivatives (S, m n, m n) by the entries of W, row by row."""
        (_, m, n), inputs = weight.shape, self._inputs
        p = (inputs @ weight.mT).softmax(2)
        bends = torch.diag_embed(p) - p[:, :, :, None] * p[:, :, None]
        squares = (inputs[:, :, :, None] * inputs[:, :, None]).flatten(2)
        blocks = (bends.flatten(2).mT @ squares / self.samples).view(-1, m, m, n, n)
        return blocks.transpose(2, 3).reshape(-1, m * n, m * n) + self._ridge * torch.eye(m * n, dtype=p.dtype)


@dataclass(frozen=True, kw_only=True)
class SoftmaxSpec(LinearTaskSpec):
    """Labels drawn from softmax(X (start + shift)^T), with a test split from the same law; ``outputs`` are the classes.

    ``ridge`` is the weight of the penalty that makes the loss strongly convex.
    """

    outputs: int = 5
    inputs: int = 12
    samples: int = 200
    rank: int = 2
    ridge: float = 0.01
    name = SoftmaxRegression.name

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.outputs < 2 or not 0 < self.ridge < math.inf:
            raise ColaError(
                f"A softmax problem of {self.outputs} classes with a ridge of {self.ridge} was asked for; expected at "
                "least 2 classes and a finite ridge above 0."
            )

    def draw(self, seeds: Sequence[int]) -> SoftmaxRegression:
        return SoftmaxRegression(*stack_draws(self._draw, seeds), ridge=self.ridge)

    def _draw(self, seed: int) -> tuple[Tensor, ...]:
        task = self.task(seed)

        def labels(inputs: Tensor) -> Tensor:
            probabilities = (inputs @ (task.start + task.shift).T).softmax(1)
            # Where the cumulated probabilities pass a uniform number; rounding may leave the last one below 1.
            passed = probabilities.cumsum(1)[:, :-1] < task.uniform(len(inputs), 1)
            return passed.sum(1)

        return task.train, labels(task.train), task.start, task.test, labels(task.test)
