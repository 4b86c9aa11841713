"""The iterate, as a sum of atoms."""

import torch
from torch import Tensor

from colarepro.theory.completion.atom import Atom

# A running scale below this is multiplied into the coefficients, lest it reach 0.
SMALLEST_SCALE = 1e-100


class Weight:
    """The weight as ``scale sum_k coefficients[k] left_k right_k^T``, in which a step costs O(m + n)."""

    def __init__(self, shape: tuple[int, int], radius: float) -> None:
        self._radius = radius
        self._lefts, self._rights = (torch.empty(1, size, dtype=torch.float64) for size in shape)
        self._coefficients = torch.empty(1, dtype=torch.float64)
        self._count = 0
        self._scale = 1.0

    def move(self, atom: Atom, step: float) -> None:
        """To ``(1 - step) W + step radius left right^T``."""
        if step == 1:
            self._count, self._scale = 0, 1.0
        else:
            self._scale *= 1 - step
        if self._scale < SMALLEST_SCALE:
            self._coefficients *= self._scale
            self._scale = 1.0
        if self._count == len(self._coefficients):
            self._lefts, self._rights, self._coefficients = (
                torch.cat((x, torch.empty_like(x))) for x in (self._lefts, self._rights, self._coefficients)
            )
        self._lefts[self._count] = atom.left
        self._rights[self._count] = atom.right
        self._coefficients[self._count] = step * self._radius / self._scale
        self._count += 1

    def factors(self) -> tuple[Tensor, Tensor, Tensor]:
        """left (m, k), right (n, k) and the weights (k,)."""
        kept = slice(self._count)
        return self._lefts[kept].T.clone(), self._rights[kept].T.clone(), self._coefficients[kept] * self._scale

    def inner(self, atom: Atom) -> float:
        """left^T W right, for O(k (m + n))."""
        left, right = self._lefts[: self._count] @ atom.left, self._rights[: self._count] @ atom.right
        return self._scale * float((self._coefficients[: self._count] * left) @ right)
