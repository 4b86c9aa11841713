"""The linear minimisation oracle of `complete`."""

import math

import torch
from torch import Tensor

from colarepro.theory.completion.atom import Atom
from colarepro.theory.completion.observations import Observations
from colarepro.theory.leading_pair import LeadingPair, leading_pair

# The oracle's relative tolerance is never above this, however large the gap.
LOOSEST = 0.1
# Nor is that of the run that checks a stop above this, as a loose Ritz value may be the second one.
LOOSEST_CHECK = 0.01
# The oracle starts at the sum of its past right vectors, each this times lighter than the next: near the optimum
# the largest singular values are equal, and the last vector alone is one of several.
MEMORY = 0.9
# To which a fresh random direction is added, this long. One gradient resembles the next, so that a fixed direction,
# as `leading_pair` has, may miss the leading pair for many steps on end.
FRESH = 0.3


class Oracle:
    """Linear minimisation over the ball, as in `complete`; it counts its calls and products."""

    def __init__(self, entries: Observations, radius: float, tolerance: float, goal: float) -> None:
        self._entries = entries
        self._radius = radius / entries.count  # times a singular value of the residual, an amount of gap
        self._tolerance = tolerance
        self._goal = goal
        self._relative = min(LOOSEST, tolerance)
        self._memory = torch.zeros(1, entries.shape[1], dtype=torch.float64)
        self._generator = torch.Generator().manual_seed(1)
        self.calls = 0
        self.products = 0

    def atom(self, inner: float) -> Atom:
        """The atom for the present residual, ``inner`` being <residual, W>."""
        inner /= self._entries.count
        length = float(torch.linalg.vector_norm(self._memory))
        pair = self._pair(self._memory + FRESH * length * self._random(), self._relative)
        gap, error = inner + self._size(pair.value), self._size(pair.residual)
        if gap <= self._goal:
            allowed = max(self._goal - gap, self._goal / 10) / 2
            other = self._pair(self._random(), min(LOOSEST_CHECK, self._relative_to(pair, allowed)))
            other_gap = inner + self._size(other.value)
            if other_gap > gap + error:
                self._tolerance /= 2
            if other_gap > gap:
                pair, gap = other, other_gap
            error = self._size(other.residual)
        self._relative = min(LOOSEST, self._relative_to(pair, self._tolerance * max(gap, 0.0)))
        sign = 1.0 if float((self._memory * pair.right).sum()) >= 0 else -1.0
        self._memory = MEMORY * self._memory + sign * pair.right
        return Atom(-pair.left[0], pair.right[0], gap, max(gap + error, 0.0))

    def _pair(self, start: Tensor, relative: float) -> LeadingPair:
        pair = leading_pair(self._entries.times, self._entries.transposed, start, relative)
        self.calls += 1
        self.products += pair.products
        return pair

    def _random(self) -> Tensor:
        """A random direction (1, n), of length about 1."""
        size = self._memory.shape
        return torch.randn(size, dtype=torch.float64, generator=self._generator) / math.sqrt(size[1])

    def _size(self, value: Tensor) -> float:
        return self._radius * float(value)

    def _relative_to(self, pair: LeadingPair, error: float) -> float:
        """The relative tolerance that keeps the oracle's additive error at ``error``."""
        return error / self._size(pair.value) if float(pair.value) > 0 else LOOSEST
