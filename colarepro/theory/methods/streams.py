"""The methods' own random numbers: a stream for every seed, so that a seed's run does not depend on the others."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from colarepro.errors import ColaError

DRAWS = ("uniform", "gaussian", "orthonormal")


def check_draw(law: str) -> None:
    """Raise `ColaError` unless there is such a law of A."""
    if law not in DRAWS:
        raise ColaError(f"Unknown draw {law!r}; expected one of {', '.join(DRAWS)}.")


class Streams:
    """One generator a seed, of numbers that no problem draws (problems take the bare seed)."""

    def __init__(self, seeds: Sequence[int]) -> None:
        states = [np.random.SeedSequence([seed, 1]).generate_state(1, np.uint64)[0] for seed in seeds]
        self._generators = [torch.Generator().manual_seed(int(state)) for state in states]

    def draw_A(self, law: str, rank: int, n: int) -> Tensor:
        """A new A (S, rank, n), float64: ``"uniform"`` on +-1/sqrt(n) (PEFT's default), ``"gaussian"`` with
        standard deviation 1/rank (PEFT's other one), or ``"orthonormal"`` rows, which span the same random space
        as a Gaussian's."""
        if law == "uniform":
            return (2 * self._each(torch.rand, rank, n) - 1) / math.sqrt(n)
        normal = self._each(torch.randn, rank, n)
        return normal / rank if law == "gaussian" else torch.linalg.qr(normal.mT).Q.mT

    def normal(self, *size: int) -> Tensor:
        """Standard normal numbers (S, *size), float64."""
        return self._each(torch.randn, *size)

    def rows(self, count: int, batch: int) -> Tensor:
        """``batch`` sample numbers below ``count``, with replacement: (S, batch)."""
        return torch.stack([torch.randint(count, (batch,), generator=generator) for generator in self._generators])

    def _each(self, law: object, *size: int) -> Tensor:
        assert callable(law)
        return torch.stack([law(*size, dtype=torch.float64, generator=g) for g in self._generators])
