"""Closed forms on singular values of batches (S, m, n): truncation, projection on the nuclear-norm ball, draws."""

import torch
from torch import Tensor


def truncate(matrix: Tensor, rank: int) -> Tensor:
    """The best approximations of at most this rank in the Frobenius norm (Eckart-Young)."""
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    return (left[..., :rank] * values[..., None, :rank]) @ right[..., :rank, :]


def tamed(matrix: Tensor) -> Tensor:
    """The batch with zeros for a matrix whose Frobenius norm is not finite, a diverged seed's: LAPACK refuses NaN
    and Inf for the whole batch."""
    finite = torch.isfinite(torch.linalg.matrix_norm(matrix))
    return matrix if bool(finite.all()) else torch.where(finite[:, None, None], matrix, 0)


def spectral_norm(matrix: Tensor) -> Tensor:
    """Largest singular values (S,)."""
    return torch.linalg.svdvals(matrix)[..., 0]


def nuclear_norm(matrix: Tensor) -> Tensor:
    """Sums of the singular values (S,)."""
    return torch.linalg.svdvals(matrix).sum(-1)


def project_nuclear_ball(matrix: Tensor, radius: float, rank: int | None = None) -> Tensor:
    """The nearest matrices (Frobenius) with nuclear norm <= radius and, if given, at most this rank.

    The singular values beyond ``rank`` go, the others are projected on the l1 ball.
    """
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    left, values, right = left[..., :rank], values[..., :rank], right[..., :rank, :]
    counts = torch.arange(1, values.shape[-1] + 1, dtype=values.dtype)
    excess = (values.cumsum(-1) - radius) / counts
    last = ((values > excess).sum(-1, keepdim=True) - 1).clamp(min=0)  # below 0: the radius is lost in rounding
    threshold = excess.gather(-1, last).clamp(min=0)  # at most 0: already inside
    return (left * (values - threshold).clamp(min=0)[..., None, :]) @ right


def random_low_rank(shape: tuple[int, int], rank: int, decay: float, generator: torch.Generator) -> Tensor:
    """One float64 matrix with singular values 1, decay, decay^2, ... (``rank`` of them) and random directions."""
    left = torch.linalg.qr(torch.randn(shape[0], rank, dtype=torch.float64, generator=generator)).Q
    right = torch.linalg.qr(torch.randn(shape[1], rank, dtype=torch.float64, generator=generator)).Q
    return (left * decay ** torch.arange(rank, dtype=torch.float64)) @ right.T
