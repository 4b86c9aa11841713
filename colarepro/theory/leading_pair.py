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
# Steps before a residual is believed: near a wrong singular vector it is small at first.
LEAST = 4


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
    start: Tensor,
    tolerance: float,
    most: int,
) -> tuple[LeadingPair, bool]:
    """One run from the unit vectors ``start`` (S, n) until it ends or the bases are full."""
    left = times(start)
    batch, rows, columns = len(start), left.shape[1], start.shape[1]
    rounding = 4 * torch.finfo(start.dtype).eps * math.sqrt(rows + columns)
    lefts, rights = start.new_empty((batch, most, rows)), start.new_empty((batch, most + 1, columns))
    rights[:, 0] = start
    bidiagonal = start.new_zeros((batch, most, most + 1))
    scale = start.new_zeros((batch, 1, 1))
    for size in range(1, most + 1):
        last = size - 1
        if last:
            left = times(rights[:, last])
        diagonal, above = bidiagonal[:, last:size, last:size], bidiagonal[:, last:size, size : size + 1]
        _append(left, lefts[:, :size], diagonal, rounding * scale)
        scale = torch.maximum(scale, diagonal)
        _append(transposed(lefts[:, last]), rights[:, : size + 1], above, rounding * scale)
        scale = torch.maximum(scale, above)
        # A zero says that the basis spans an invariant space and that the pair is exact.
        if size < min(LEAST, most) and bool(above.any()):
            continue
        square = bidiagonal[:, :size, :size]
        # B B^T has B's left vectors; its small eigenvalues, which squaring spoils, are not used.
        values, vectors = torch.linalg.eigh(torch.bmm(square, square.mT))
        value, vector = values[:, -1].clamp(min=0).sqrt(), vectors[:, None, :, -1]
        residual = above[:, 0, 0] * vector[:, 0, -1].abs()
        done = bool((residual <= max(tolerance, rounding) * value).all())
        if done:
            break
    left, right = (vector @ lefts[:, :size])[:, 0], (vector @ square @ rights[:, :size])[:, 0]
    zero = (value == 0)[:, None]  # A zero matrix: any unit vectors do.
    left = torch.where(zero, torch.eye(1, rows, dtype=left.dtype), left)
    right = torch.where(zero, start, right)
    return LeadingPair(_unit(left), value, _unit(right), residual, 2 * size), done


def _append(vector: Tensor, basis: Tensor, length: Tensor, floor: Tensor) -> None:
    """Make a vector (S, d) the last of a basis (S, k, d), and fill ``length`` (S, 1, 1) with what was new in it.

    A length of at most ``floor`` (S, 1, 1) is rounding: it and the vector become 0, and the recurrence stays exact.
    """
    row, known = vector[:, None], basis[:, :-1]
    for _ in range(2 if known.shape[1] else 0):  # Once leaves rounding behind, twice is enough.
        row = torch.baddbmm(row, torch.bmm(row, known.mT), known, alpha=-1)
    torch.linalg.vector_norm(row, dim=2, keepdim=True, out=length)
    rounded = length <= floor
    if bool(rounded.any()):
        row = row.masked_fill(rounded, 0.0)
        torch.div(row, length.masked_fill(rounded, 1.0), out=basis[:, -1:])
        length.masked_fill_(rounded, 0.0)
    else:
        torch.div(row, length, out=basis[:, -1:])


def _unit(vector: Tensor) -> Tensor:
    return vector / torch.linalg.vector_norm(vector, dim=1, keepdim=True)


def _stirred(start: Tensor) -> Tensor:
    """The starts with a share `MIX` of the fixed direction, of length 1."""
    length = torch.linalg.vector_norm(start, dim=1, keepdim=True)
    return _unit(start / (length + (length == 0)) + MIX * _direction(start.shape[1]).to(start.dtype))


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
