"""What every method carries from step to step."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Answer:
    """A link seen as a linear oracle: asked at ``gradient`` (S, m, n), it went in ``direction`` (S, m, n)."""

    gradient: Tensor
    direction: Tensor


@dataclass(kw_only=True)
class State:
    """Each method adds its own.

    ``gradients`` (in full ones: a minibatch counts its share), ``lmo_calls``, ``svds`` and ``flops`` (matrix
    products by formula, an SVD as `svd_flops`) are those of one seed so far; the norms (S,) are those of the
    first and of the last gradient that a step has seen.
    """

    gradients: float = 0
    lmo_calls: int = 0
    svds: int = 0
    flops: float = 0.0
    first_gradient_norm: Tensor | None = None
    last_gradient_norm: Tensor | None = None

    def saw(self, gradient: Tensor, flops: float, share: float = 1) -> None:
        """Count one gradient evaluation over a ``share`` of the samples and remember its norms."""
        self.last_gradient_norm = torch.linalg.matrix_norm(gradient)
        if self.first_gradient_norm is None:
            self.first_gradient_norm = self.last_gradient_norm.clone()
        self.gradients += share
        self.flops += flops * share


def svd_flops(shape: tuple[int, int]) -> float:
    """Usual count of a thin SVD of an m x n matrix, both factors: 14 m n min + 8 min^3 (Golub & Van Loan)."""
    m, n = shape
    k = min(m, n)
    return 14 * m * n * k + 8 * k**3
