"""Singular values of a low-rank update, from its factors, and three readings of its rank."""

import torch
from torch import Tensor

from colarepro.chain.target import Factors

SHARE = 0.01
"""Of the largest singular value: what is smaller does not count towards the numerical rank."""


def singular_values(update: Factors) -> Tensor:
    """Of the product B A, in falling order, float64 (rank,) on the host; the matrix itself is never formed.

    With B = Q R and A^T = P S the product is Q (R S^T) P^T, whose middle is as small as the rank.
    """
    R = torch.linalg.qr(update.B.double().cpu(), mode="r").R
    S = torch.linalg.qr(update.A.double().cpu().T, mode="r").R
    return torch.linalg.svdvals(R @ S.T)


def numerical_rank(values: Tensor) -> int:
    """How many singular values are above `SHARE` of the largest."""
    return int((values > SHARE * values[0]).sum())


def stable_rank(values: Tensor) -> float:
    """|.|_F^2 / |.|_2^2 (Rudelson and Vershynin 2007), 0 for a zero matrix."""
    return float((values / values[0]).square().sum()) if values[0] > 0 else 0.0


def effective_rank(values: Tensor) -> float:
    """The exponential of the entropy of the values as shares of their sum (Roy and Vetterli 2007); 0 for zero."""
    shares = values / values.sum() if values[0] > 0 else values
    return float(torch.special.entr(shares).sum().exp()) if values[0] > 0 else 0.0
