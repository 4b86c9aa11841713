"""What is known of the matrix, and how far the weight is from it."""

from numbers import Integral

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.sparse import csr_array
from torch import Tensor

from colarepro.errors import ColaError


class Observations:
    """The observed entries in row order: M, the residual W - M, and the residual as a sparse matrix (m, n).

    The gradient is the residual over the number of entries; that factor is left to the end.
    """

    def __init__(self, rows: np.ndarray, columns: np.ndarray, values: np.ndarray, shape: tuple[int, int]) -> None:
        self.count = len(values)
        self.shape = shape
        self._values = torch.from_numpy(values)
        self._residual = -self._values
        self._per_row = np.bincount(rows, minlength=shape[0])
        index = np.int32 if max(*shape, self.count) < 2**31 else np.int64
        starts = np.concatenate(([0], np.cumsum(self._per_row))).astype(index)
        self._columns = torch.from_numpy(columns.astype(index))
        # Both share the memory of the residual, and so never need to be written. A transpose with its entries in
        # its own order would be quicker to multiply with, by less than what it takes to reorder them each step.
        self._matrix = csr_array((self._residual.numpy(), self._columns.numpy(), starts), shape=shape)
        self._transpose = self._matrix.T

    def times(self, right: Tensor) -> Tensor:
        return torch.from_numpy(self._matrix @ right[0].numpy())[None]

    def transposed(self, left: Tensor) -> Tensor:
        return torch.from_numpy(self._transpose @ left[0].numpy())[None]

    def loss(self) -> float:
        return float(self._residual @ self._residual) / (2 * self.count)

    def inner(self) -> float:
        """<residual, W>."""
        return float(self._residual @ self._residual) + float(self._residual @ self._values)

    def direction(self, left: Tensor, right: Tensor) -> Tensor:
        """``left right^T - W`` on the entries."""
        direction = torch.from_numpy(np.repeat(left.numpy(), self._per_row))
        direction *= right.index_select(0, self._columns)
        direction -= self._residual
        direction -= self._values
        return direction

    def move(self, direction: Tensor, step: float) -> None:
        self._residual.add_(direction, alpha=step)


def checked_indices(
    rows: ArrayLike | Tensor, columns: ArrayLike | Tensor, shape: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Both as int64 (k,)."""
    if len(shape) != 2 or not all(isinstance(size, Integral) and size >= 1 for size in shape):
        raise ColaError(f"The shape is {shape}; expected two integers of at least 1.")
    found = []
    for name, given, size in (("row", rows, shape[0]), ("column", columns, shape[1])):
        index = _array(given)
        if index.ndim != 1 or len(index) == 0 or not np.issubdtype(index.dtype, np.integer):
            raise ColaError(
                f"The {name} indices have shape {index.shape} and dtype {index.dtype}; expected integers (k,)."
            )
        if index.min() < 0 or index.max() >= size:
            raise ColaError(f"The {name} indices go from {index.min()} to {index.max()}; expected 0 to {size - 1}.")
        found.append(index.astype(np.int64))
    if len(found[0]) != len(found[1]):
        raise ColaError(f"There are {len(found[0])} row and {len(found[1])} column indices; expected as many of each.")
    return found[0], found[1]


def row_order(rows: np.ndarray, columns: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """The permutation (k,) that sorts the entries by row, then by column."""
    key = rows * shape[1] + columns
    order = np.argsort(key, kind="stable")
    if bool((np.diff(key[order]) == 0).any()):
        raise ColaError("The observed entries must be distinct; at least one is listed twice.")
    return order


def checked_values(values: ArrayLike | Tensor, count: int) -> np.ndarray:
    """As float64 (count,)."""
    given = _array(values)
    if given.shape != (count,) or given.dtype.kind not in "iuf":
        raise ColaError(f"The values have shape {given.shape} and dtype {given.dtype}; expected {count} real numbers.")
    if not np.isfinite(given).all():
        raise ColaError("The observed values must be finite.")
    return given.astype(np.float64)


def _array(given: ArrayLike | Tensor) -> np.ndarray:
    return given.detach().cpu().numpy() if isinstance(given, Tensor) else np.asarray(given)
