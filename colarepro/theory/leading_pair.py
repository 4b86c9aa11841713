"""The leading singular pair of matrices that are known only by their products with vectors."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from colarepro.errors import ColaError

# Share of the fixed random direction in every start, so that no start is orthogonal to the leading pair.
MIX = 0.1
# A tolerance below what rounding leaves is never reached; a run that restarts this often has met such a matrix.
RESTARTS = 100
# Steps before a residual is believed: near a wrong singular vector it is small at first.
LEAST = 4
# A new vector that is shorter than this share of the longest is made orthogonal twice.
SMALL = 0.1


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
    float32 or float64, on the CPU. Both bases are kept orthogonal in full; at ``most`` vectors the run restarts
    from its best right vector. It ends when ``residual <= tolerance * value`` for all S, a tolerance below rounding
    being raised to it. Some singular value then lies within the residual of ``value``. That it is the largest
    cannot be read off products: hence `MIX`, by which this function, not its caller, stirs a fixed random direction
    into the start, and `LEAST`. A start may be zero. Raises `ColaError` for a start, tolerance or ``most`` that
    fits none of this.

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
    # Between the products all is small, and NumPy starts on small things in half of the time.
    left = times(start).numpy()
    batch, rows, columns = len(start), left.shape[1], start.shape[1]
    rounding = 4 * torch.finfo(start.dtype).eps * math.sqrt(rows + columns)
    lefts, rights = np.empty((batch, most, rows), left.dtype), np.empty((batch, most + 1, columns), left.dtype)
    rights[:, 0] = start.numpy()
    bidiagonal, scale = np.zeros((batch, most, most + 1), left.dtype), np.zeros(batch, left.dtype)
    for size in range(1, most + 1):
        last = size - 1
        if last:
            left = times(torch.from_numpy(rights[:, last])).numpy()
        bidiagonal[:, last, last] = diagonal = _append(left, lefts, last, scale, rounding)
        scale = np.maximum(scale, diagonal)
        right = transposed(torch.from_numpy(lefts[:, last])).numpy()
        bidiagonal[:, last, size] = above = _append(right, rights, size, scale, rounding)
        scale = np.maximum(scale, above)
        # A zero says that the basis spans an invariant space and that the pair is exact.
        if size < min(LEAST, most) and above.any():
            continue
        square = bidiagonal[:, :size, :size]
        # B B^T has B's left vectors; its small eigenvalues, which squaring spoils, are not used.
        values, vectors = np.linalg.eigh(square @ square.mT)
        value, vector = np.sqrt(np.maximum(values[:, -1], 0)), vectors[:, None, :, -1]
        residual = above * np.abs(vector[:, 0, -1])
        done = bool((residual <= max(tolerance, rounding) * value).all())
        if done:
            break
    left, right = (vector @ lefts[:, :size])[:, 0], (vector @ square @ rights[:, :size])[:, 0]
    left[value == 0, 0] = 1  # A zero matrix: any unit vectors do.
    right[value == 0] = rights[value == 0, 0]
    found = [torch.from_numpy(x) for x in (_unit(left), value, _unit(right), residual)]
    return LeadingPair(found[0], found[1], found[2], found[3], 2 * size), done


def _append(vector: np.ndarray, basis: np.ndarray, size: int, scale: np.ndarray, rounding: float) -> np.ndarray:
    """Make a vector (S, d) number ``size`` of a basis (S, most, d), from 0; how long (S,) its new part was.

    A length of at most ``rounding * scale`` becomes 0, with its vector, and the recurrence stays exact.
    """
    known, row = basis[:, :size], vector[:, None]
    if size:
        row = row - row @ known.mT @ known
    length = np.sqrt(row @ row.mT)[:, 0]
    if (length[:, 0] <= SMALL * scale).any():  # Much was taken away, and rounding is left; twice is enough.
        row = row - row @ known.mT @ known
        length = np.sqrt(row @ row.mT)[:, 0]
        length[length[:, 0] <= rounding * scale] = 0
        basis[:, size] = row[:, 0] / np.where(length > 0, length, 1) * (length > 0)
    else:
        np.divide(row[:, 0], length, out=basis[:, size])
    return length[:, 0]


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector, axis=1, keepdims=True)


def _stirred(start: Tensor) -> Tensor:
    """The starts with a share `MIX` of the fixed direction, of length 1."""
    length = torch.linalg.vector_norm(start, dim=1, keepdim=True)
    stirred = start / (length + (length == 0)) + MIX * _direction(start.shape[1]).to(start.dtype)
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
