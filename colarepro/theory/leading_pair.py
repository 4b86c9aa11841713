"""The leading singular pair of matrices that are known only by their products with vectors."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from colarepro.errors import ColaError

# Share of the fixed random direction in every start, so that no start is orthogonal to the leading pair.
MIX = 0.1
# A tolerance below what rounding leaves is never reached; a run that restarts this often has met such a matrix.
RESTARTS = 100


@dataclass(frozen=True)
class LeadingPair:
    """``value`` (S,) at most the largest singular value, with unit vectors ``left`` (S, m) and ``right`` (S, n).

    ``left^T A right`` is ``value``, and |A right - value left| and |A^T left - value right|, of which one is 0
    up to rounding, are at most ``residual`` (S,). ``products`` counts the calls of both products together.
    """

    left: Tensor
    value: Tensor
    right: Tensor
    residual: Tensor
    products: int


def leading_pair(
    times: Callable[[Tensor], Tensor],
    transposed: Callable[[Tensor], Tensor],
    start: Tensor,
    tolerance: float,
    most: int = 100,
) -> LeadingPair:
    """Leading singular pairs of S matrices (m, n) by Golub-Kahan-Lanczos bidiagonalisation.

    ``times`` takes (S, n) to (S, m) and ``transposed`` takes (S, m) to (S, n), in the dtype of ``start`` (S, n),
    float32 or float64. Both bases are kept orthogonal in full; at ``most`` vectors the run restarts from its best
    right vector. It ends when ``residual <= tolerance * value`` for all S, a tolerance below rounding being raised
    to it. Some singular value then lies within the residual of ``value``. That it is the largest cannot be read
    off products: hence `MIX`, by which this function, not its caller, stirs a fixed random direction into the
    start, which may be zero. Raises `ColaError` for a start, tolerance or ``most`` that fits none of this.

    Source: Golub and Kahan 1965; Saad, Numerical Methods for Large Eigenvalue Problems, 2011, section 6.
    """
    _check(start, tolerance, most)
    right, products = _stirred(start), 0
    for _ in range(RESTARTS):
        pair, done = _bidiagonalise(times, transposed, right, tolerance, most)
        products += pair.products
        right = pair.right
        if done:
            break
    return LeadingPair(pair.left, pair.value, pair.right, pair.residual, products)


def _bidiagonalise(
    times: Callable[[Tensor], Tensor],
    transposed: Callable[[Tensor], Tensor],
    right: Tensor,
    tolerance: float,
    most: int,
) -> tuple[LeadingPair, bool]:
    """One run from the unit vectors ``right`` (S, n) until it ends or the bases are full."""
    left = times(right)
    batch, rows, columns = len(right), left.shape[1], right.shape[1]
    rounding = 4 * torch.finfo(right.dtype).eps * math.sqrt(rows + columns)
    target = max(tolerance, rounding)
    lefts, rights = right.new_empty((batch, most, rows)), right.new_empty((batch, most, columns))
    bidiagonal = right.new_zeros((batch, most, most))
    scale = right.new_zeros((batch, 1))
    for size in range(1, most + 1):
        if size > 1:
            left = times(right)
        rights[:, size - 1] = right
        left, diagonal = _orthonormal(left, lefts[:, : size - 1], rounding * scale)
        lefts[:, size - 1] = left
        bidiagonal[:, size - 1, size - 1] = diagonal[:, 0]
        right, above = _orthonormal(
            transposed(left), rights[:, :size], rounding * (scale := torch.maximum(scale, diagonal))
        )
        scale = torch.maximum(scale, above)
        square = bidiagonal[:, :size, :size]
        # The leading pair of B B^T gives that of B; its small eigenvalues, which suffer, are not used.
        values, vectors = torch.linalg.eigh(square @ square.mT)
        value, vector = values[:, -1].clamp(min=0).sqrt(), vectors[:, :, -1]
        residual = above[:, 0] * vector[:, -1].abs()
        done = bool((residual <= target * value).all())
        if done or size == most:
            break
        bidiagonal[:, size - 1, size] = above[:, 0]
    return _assembled(lefts[:, :size], rights[:, :size], square, value, vector, residual), done


def _orthonormal(vector: Tensor, basis: Tensor, floor: Tensor) -> tuple[Tensor, Tensor]:
    """The part of (S, d) orthogonal to a basis (S, k, d), of length 1, with its length (S, 1).

    A length of at most ``floor`` (S, 1) is rounding: both become 0, with which the recurrence stays exact.
    """
    row = vector.unsqueeze(1)
    for _ in range(2 if basis.shape[1] else 0):  # once leaves rounding behind, twice is enough
        row = torch.baddbmm(row, row @ basis.mT, basis, alpha=-1)
    length = torch.linalg.vector_norm(row[:, 0], dim=1, keepdim=True)
    length = torch.where(length > floor, length, 0.0)
    return row[:, 0] / torch.where(length > 0, length, 1.0) * (length > 0), length


def _assembled(
    lefts: Tensor, rights: Tensor, square: Tensor, value: Tensor, vector: Tensor, residual: Tensor
) -> LeadingPair:
    left = (vector.unsqueeze(1) @ lefts)[:, 0]
    right = ((vector.unsqueeze(1) @ square) @ rights)[:, 0]
    # A zero matrix: the start and any left vector do.
    zero = (value == 0).unsqueeze(1)
    left = torch.where(zero, torch.eye(1, left.shape[1], dtype=left.dtype), left)
    right = torch.where(zero, rights[:, 0], right)
    left, right = (x / torch.linalg.vector_norm(x, dim=1, keepdim=True) for x in (left, right))
    return LeadingPair(left, value, right, residual, 2 * square.shape[1])


def _stirred(start: Tensor) -> Tensor:
    """The starts with a share `MIX` of the fixed direction, of length 1."""
    length = torch.linalg.vector_norm(start, dim=1, keepdim=True)
    stirred = start / torch.where(length > 0, length, 1.0) + MIX * _direction(start.shape[1]).to(start.dtype)
    return stirred / torch.linalg.vector_norm(stirred, dim=1, keepdim=True)


@lru_cache(maxsize=8)
def _direction(size: int) -> Tensor:
    direction = torch.randn(size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return direction / torch.linalg.vector_norm(direction)


def _check(start: Tensor, tolerance: float, most: int) -> None:
    if start.ndim != 2 or min(start.shape) < 1 or not start.is_floating_point():
        raise ColaError(f"The start of a leading pair has shape {tuple(start.shape)}; expected floats (S, n).")
    if not bool(torch.isfinite(start).all()):
        raise ColaError("The start of a leading pair must be finite.")
    if not tolerance >= 0:
        raise ColaError(f"The tolerance of a leading pair is {tolerance}; expected at least 0.")
    if most < 2:
        raise ColaError(f"A leading pair may keep {most} basis vectors; expected at least 2.")
