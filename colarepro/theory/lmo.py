"""Linear minimisation over the nuclear-norm ball: a leading singular pair, returned as a rank-one atom."""

from dataclasses import dataclass

import torch
from torch import Tensor

from colarepro.theory.leading_pair import leading_pair
from colarepro.theory.problem import check_matrices, check_radius


@dataclass(frozen=True)
class Atom:
    """The vertices ``-radius * left right^T`` of the ball; ``left`` (S, m) and ``right`` (S, n) have rows of norm 1.

    ``products`` counts the matrix-vector products that one seed's search took (0: a dense SVD).
    """

    radius: float
    left: Tensor
    right: Tensor
    products: int = 0

    def matrix(self) -> Tensor:
        """The atoms as dense matrices (S, m, n)."""
        return (-self.radius * self.left)[:, :, None] * self.right[:, None, :]

    def inner(self, matrix: Tensor) -> Tensor:
        """Frobenius inner products (S,) with matrices (S, m, n), without forming the atoms."""
        return -self.radius * (self.left[:, None] @ matrix @ self.right[:, :, None])[:, 0, 0]


def nuclear_ball_lmo(gradient: Tensor, radius: float, tolerance: float = 0.0, warm: Atom | None = None) -> Atom:
    """Minimisers over ``|V|_* <= radius`` of <gradient, V>, for gradients (S, m, n).

    With ``tolerance`` 0 the singular pairs come from a dense SVD. Above 0 they come from Lanczos
    bidiagonalisation started at ``warm``, and the additive error on <gradient, V>, the epsilon of Theorem 4.1,
    is about ``radius * tolerance *`` the largest singular value. Raises `ColaError` for a radius that is not
    above 0 and for gradients that are not finite matrices.
    """
    check_radius(radius)
    gradient = check_matrices("gradient", gradient)
    if tolerance <= 0 or min(gradient.shape[1:]) < 2:
        left, _, right = torch.linalg.svd(gradient, full_matrices=False)
        return Atom(radius, left[:, :, 0], right[:, 0])
    pair = leading_pair(
        lambda x: (gradient @ x[:, :, None])[:, :, 0],
        lambda y: (y[:, None] @ gradient)[:, 0],
        torch.zeros_like(gradient[:, 0]) if warm is None else warm.right,
        tolerance,
    )
    return Atom(radius, pair.left, pair.right, pair.products)
