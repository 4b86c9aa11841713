"""What problems on X W^T draw: a start, a low-rank shift of it, and inputs of a chosen covariance."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from colarepro.errors import ColaError
from colarepro.theory.problem import check_rank
from colarepro.theory.spectral import random_low_rank


@dataclass(frozen=True)
class LinearTask:
    """One seed's start and shift (outputs, inputs), train and test inputs, and the stream for what follows."""

    start: Tensor
    shift: Tensor
    train: Tensor
    test: Tensor
    generator: torch.Generator

    def normal(self, *size: int) -> Tensor:
        """Standard normal numbers, float64."""
        return torch.randn(*size, dtype=torch.float64, generator=self.generator)

    def uniform(self, *size: int) -> Tensor:
        """Numbers from 0 to 1, float64."""
        return torch.rand(*size, dtype=torch.float64, generator=self.generator)


@dataclass(frozen=True, kw_only=True)
class LinearTaskSpec:
    """The fields that such problems share.

    ``size`` is the shift's largest singular value and ``decay`` the ratio of each one to the one before.
    ``condition`` is that of the inputs' covariance (eigenvalues spaced geometrically, mean 1).
    """

    outputs: int = 12
    inputs: int = 16
    samples: int = 64
    rank: int = 3
    size: float = 4.0
    decay: float = 0.8
    condition: float = 1.0
    test_samples: int = 1000
    name: ClassVar[str]

    def __post_init__(self) -> None:
        if min(self.outputs, self.inputs, self.samples, self.test_samples) < 1:
            raise ColaError(f"A {self.name} problem needs at least one output, input, sample and test sample.")
        check_rank(self.rank, (self.outputs, self.inputs))
        if not 0 <= self.size < math.inf or not 0 < self.decay <= 1 or not 1 <= self.condition < math.inf:
            raise ColaError(
                f"The size, decay and condition are {self.size}, {self.decay} and {self.condition}; expected finite "
                "numbers of at least 0, above 0 and at most 1, and at least 1."
            )

    @property
    def nuclear_norm(self) -> float:
        """Nuclear norm of the shift, the same for every seed."""
        return self.size * sum(self.decay**index for index in range(self.rank))

    def config(self) -> dict[str, Any]:
        return {"name": self.name, **dataclasses.asdict(self)}

    def task(self, seed: int) -> LinearTask:
        """What this seed starts with; labels, noise and the like are drawn from ``generator`` after it."""
        generator = torch.Generator().manual_seed(seed)

        def normal(*size: int) -> Tensor:
            return torch.randn(*size, dtype=torch.float64, generator=generator)

        start = normal(self.outputs, self.inputs) / math.sqrt(self.inputs)
        shift = self.size * random_low_rank((self.outputs, self.inputs), self.rank, self.decay, generator)
        scales = self.condition ** -torch.linspace(0, 1, self.inputs, dtype=torch.float64)
        scales = (scales / scales.mean()).sqrt()
        train, test = normal(self.samples, self.inputs) * scales, normal(self.test_samples, self.inputs) * scales
        return LinearTask(start, shift, train, test, generator)


def stack_draws(draw: Callable[[int], tuple[Tensor, ...]], seeds: Sequence[int]) -> tuple[Tensor, ...]:
    """What ``draw`` returns for each seed, with the seeds first; raises `ColaError` without a seed."""
    if not len(seeds):
        raise ColaError("A problem was asked for with no seed; expected at least one.")
    return tuple(map(torch.stack, zip(*map(draw, seeds), strict=True)))


def largest_gram_eigenvalue(inputs: Tensor) -> Tensor:
    """Largest eigenvalues (S,) of X^T X / N for inputs (S, N, n); raises `ColaError` where they are all zero."""
    largest = torch.linalg.eigvalsh(inputs.mT @ inputs / inputs.shape[1])[:, -1]
    if not bool((largest > 0).all()):
        raise ColaError("The input matrix is zero everywhere; expected at least one input that is not.")
    return largest
