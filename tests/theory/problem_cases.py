"""Every problem on small data of its own, beside its loss written a second time. Page: theory/README.md."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from colarepro.theory.problem import Problem
from colarepro.theory.problems import (
    Counterexample,
    DigitsTransfer,
    LowRankRegression,
    MatrixFactorization,
    RobustRegression,
    SoftmaxRegression,
    TwoLayerLinear,
)

SEEDS = 3
Loss = Callable[[Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Case:
    """``loss(W, x, y)`` is the training loss of one weight on a seed's samples x, y; ``test_loss`` likewise.

    ``train`` and ``test`` are the samples with the seeds first. ``attained``: ``best_value`` is the minimum.
    ``sharp``: ``smoothness`` is the Hessian's norm everywhere.
    """

    name: str
    problem: Problem
    loss: Callable[[int, Tensor, Tensor, Tensor], Tensor]
    train: tuple[Tensor, Tensor]
    test: tuple[Tensor, Tensor]
    test_loss: Loss
    attained: bool = True
    sharp: bool = False
    region: float | None = None

    def train_loss(self, weight: Tensor, seed: int, rows: Tensor | None = None) -> Tensor:
        """The loss of one weight (m, n) on some of the seed's samples (None: all)."""
        x, y = (part[seed] if rows is None else part[seed][rows] for part in self.train)
        return self.loss(seed, weight, x, y)


def normal(seed: int, *size: int) -> Tensor:
    """The same standard normal numbers every time."""
    return torch.randn(*size, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def whole_numbers(seed: int, below: int, *size: int) -> Tensor:
    return torch.randint(below, size, generator=torch.Generator().manual_seed(seed))


def squares(weight: Tensor, x: Tensor, y: Tensor) -> Tensor:
    return functional.mse_loss(functional.linear(x, weight), y, reduction="sum") / (2 * len(x))


def regression(name: str, samples: int, isotropic: bool = False) -> Case:
    x, y, start = normal(0, SEEDS, samples, 4), normal(1, SEEDS, samples, 3), normal(2, SEEDS, 3, 4)
    x = samples**0.5 * torch.linalg.qr(x).Q if isotropic else x * torch.tensor([3, 2, 1, 0.5])
    test = normal(3, SEEDS, 11, 4), normal(4, SEEDS, 11, 3)
    problem = LowRankRegression(x, y, start, *test)
    return Case(name, problem, lambda _, *data: squares(*data), (x, y), test, squares, sharp=True)


def factorization(name: str, mask: Tensor | None = None) -> Case:
    matrix, start, test = normal(0, SEEDS, 3, 4), normal(1, SEEDS, 3, 4), normal(2, SEEDS, 3, 4)
    seen = torch.ones_like(matrix) if mask is None else mask
    unseen = seen if mask is None else 1 - seen

    def loss(weight: Tensor, x: Tensor, y: Tensor) -> Tensor:
        return (weight - y)[x == 1].square().mean() / 2

    problem = MatrixFactorization(matrix, start, test, mask)
    return Case(name, problem, lambda _, *data: loss(*data), (seen, matrix), (unseen, test), loss, sharp=True)


def counterexample() -> Case:
    """f(x) = x^T Diag(10, 1, ..., 1) x + sum of x, in R^9 = vec of a 3 x 3 matrix."""
    bends = torch.diag(torch.tensor([10.0] + 8 * [1.0], dtype=torch.float64)).expand(SEEDS, 9, 9)
    slopes = torch.ones(SEEDS, 9, dtype=torch.float64)

    def loss(_: int, weight: Tensor, bend: Tensor, slope: Tensor) -> Tensor:
        return weight.flatten() @ bend @ weight.flatten() + slope @ weight.flatten()

    def none(weight: Tensor, *_: Tensor) -> Tensor:
        return torch.tensor(torch.nan, dtype=torch.float64)

    return Case("counterexample", Counterexample(SEEDS), loss, (bends, slopes), (bends, slopes), none, sharp=True)


def softmax() -> Case:
    ridge, start = 0.05, normal(2, SEEDS, 3, 4)
    train = normal(0, SEEDS, 30, 4), whole_numbers(1, 3, SEEDS, 30)
    test = normal(3, SEEDS, 11, 4), whole_numbers(4, 3, SEEDS, 11)

    def entropy(weight: Tensor, x: Tensor, y: Tensor) -> Tensor:
        return functional.cross_entropy(functional.linear(x, weight), y)

    def loss(seed: int, weight: Tensor, x: Tensor, y: Tensor) -> Tensor:
        return entropy(weight, x, y) + ridge * (weight - start[seed]).square().sum() / 2

    return Case("softmax", SoftmaxRegression(*train, start, *test, ridge=ridge), loss, train, test, entropy)


def robust() -> Case:
    train, start = (normal(0, SEEDS, 30, 4), 2 * normal(1, SEEDS, 30, 3)), normal(2, SEEDS, 3, 4)
    test = normal(3, SEEDS, 11, 4), normal(4, SEEDS, 11, 3)

    def loss(weight: Tensor, x: Tensor, y: Tensor) -> Tensor:
        squared = (functional.linear(x, weight) - y) ** 2
        return (squared / 2 / (1 + squared / 1.5**2)).sum() / len(x)

    problem = RobustRegression(*train, start, *test, scale=1.5)
    return Case("robust", problem, lambda _, *data: loss(*data), train, test, loss, attained=False)


def two_layer(name: str, hidden: int) -> Case:
    train, test = (normal(0, SEEDS, 30, 4), normal(1, SEEDS, 30, 3)), (normal(3, SEEDS, 11, 4), normal(4, SEEDS, 11, 3))

    def loss(weight: Tensor, x: Tensor, y: Tensor) -> Tensor:
        return squares(weight[:, 4:].T @ weight[:, :4], x, y)

    problem = TwoLayerLinear(*train, normal(2, SEEDS, hidden, 7), *test, region=0.5)
    return Case(name, problem, lambda _, *data: loss(*data), train, test, loss, region=0.5)


def digits() -> Case:
    train = normal(0, SEEDS, 30, 4), whole_numbers(1, 3, SEEDS, 30)
    test = normal(3, SEEDS, 11, 4), whole_numbers(4, 3, SEEDS, 11)

    def loss(weight: Tensor, x: Tensor, y: Tensor) -> Tensor:
        return functional.cross_entropy(
            functional.linear(functional.linear(x, weight[:, :4]).tanh(), weight[:, 4:].T), y
        )

    problem = DigitsTransfer(*train, normal(2, SEEDS, 5, 7), *test, region=0.5)
    return Case("digits", problem, lambda _, *data: loss(*data), train, test, loss, attained=False, region=0.5)


HALF = (torch.arange(SEEDS * 12).reshape(SEEDS, 3, 4) % 5 < 3).to(torch.float64)
CASES = (
    regression("regression", 30),
    regression("regression, fewer samples than inputs", 3),
    regression("regression, isotropic", 30, isotropic=True),
    factorization("factorization"),
    factorization("completion", HALF),
    counterexample(),
    softmax(),
    robust(),
    two_layer("two-layer", 3),
    two_layer("two-layer, wide", 5),
    two_layer("two-layer, narrow", 2),
    digits(),
)
