"""Closed forms on singular values: truncation, projection on the nuclear-norm ball, random low-rank matrices."""

import torch
from torch import Tensor


def truncate(matrix: Tensor, rank: int) -> Tensor:
    """The best approximation of at most this rank in the Frobenius norm (Eckart-Young)."""
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    return (left[:, :rank] * values[:rank]) @ right[:rank]


def nuclear_norm(matrix: Tensor) -> float:
    """Sum of the singular values."""
    return float(torch.linalg.svdvals(matrix).sum())


def project_nuclear_ball(matrix: Tensor, radius: float) -> Tensor:
    """The nearest matrix (Frobenius) with nuclear norm <= radius: its singular values go to the l1 ball."""
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    if float(values.sum()) <= radius:
        return matrix
    excess = (values.cumsum(0) - radius) / torch.arange(1, len(values) + 1, dtype=values.dtype)
    threshold = excess[values > excess][-1]
    return (left * (values - threshold).clamp(min=0)) @ right


def random_low_rank(shape: tuple[int, int], rank: int, decay: float, generator: torch.Generator) -> Tensor:
    """A float64 matrix with singular values 1, decay, decay^2, ... (``rank`` of them) and random directions."""
    left = torch.linalg.qr(torch.randn(shape[0], rank, dtype=torch.float64, generator=generator)).Q
    right = torch.linalg.qr(torch.randn(shape[1], rank, dtype=torch.float64, generator=generator)).Q
    return (left * decay ** torch.arange(rank, dtype=torch.float64)) @ right.T
