"""Linear minimisation over the nuclear-norm ball: a leading singular pair, returned as a rank-one atom."""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse.linalg import svds
from torch import Tensor

from colarepro.theory.problem import check_matrix, check_radius


@dataclass(frozen=True)
class Atom:
    """The vertex ``-radius * left right^T`` of the ball; ``left`` (m,) and ``right`` (n,) have norm 1."""

    radius: float
    left: Tensor
    right: Tensor

    def matrix(self) -> Tensor:
        """The atom as a dense matrix (m, n)."""
        return torch.outer(self.left, self.right).mul_(-self.radius)

    def inner(self, matrix: Tensor) -> float:
        """Frobenius inner product with a matrix (m, n), without forming the atom."""
        return -self.radius * float(self.left @ matrix @ self.right)


def nuclear_ball_lmo(gradient: Tensor, radius: float, tolerance: float = 0.0, warm: Atom | None = None) -> Atom:
    """A minimiser over ``|V|_* <= radius`` of <gradient, V>, for a gradient (m, n).

    With ``tolerance`` 0 the singular pair comes from a dense SVD. Above 0 it comes from ARPACK's Lanczos
    iteration started at ``warm``, and the additive error on <gradient, V>, the epsilon of Theorem 4.1, is at
    most ``radius * tolerance *`` the largest singular value. Raises `ColaError` for a radius that is not
    above 0 and for a gradient that is not a finite matrix.
    """
    check_radius(radius)
    gradient = check_matrix("gradient", gradient)
    # Lanczos has no start on a zero matrix and nothing to iterate on with a single row or column.
    if tolerance <= 0 or min(gradient.shape) < 2 or not bool(gradient.any()):
        left, _, right = torch.linalg.svd(gradient, full_matrices=False)
        return Atom(radius, left[:, 0], right[0])
    left, _, right = svds(gradient.numpy(), k=1, tol=tolerance, v0=_start(gradient, warm))
    return Atom(radius, torch.from_numpy(left[:, 0].copy()), torch.from_numpy(right[0].copy()))


def _start(gradient: Tensor, warm: Atom | None) -> np.ndarray:
    """Start on the shorter side: the last atom plus a fixed direction, lest it be orthogonal to the new one."""
    short = min(gradient.shape)
    fixed = np.random.default_rng(0).standard_normal(short) / np.sqrt(short)
    if warm is None:
        return fixed
    vector = warm.left if gradient.shape[0] <= gradient.shape[1] else warm.right
    return vector.numpy() + 0.1 * fixed
