"""Matrix completion by Frank-Wolfe at sizes where the weight is never formed."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.sparse import csr_array
from torch import Tensor

from colarepro.errors import ColaError
from colarepro.theory.leading_pair import LeadingPair, leading_pair

# The oracle's relative tolerance is never above this, however large the gap.
LOOSEST = 0.1
# Nor is that of the run that checks a stop above this, as a loose Ritz value may be the second one.
LOOSEST_CHECK = 0.01
# The oracle starts at the sum of its past right vectors, each this times lighter than the next: near the optimum
# the largest singular values are equal, and the last vector alone is one of several.
MEMORY = 0.9
# To which a fresh random direction is added, this long. One gradient resembles the next, so that a fixed direction,
# as `leading_pair` has, may miss the leading pair for many steps on end.
FRESH = 0.3
# A running scale below this is multiplied into the coefficients, lest it reach 0.
SMALLEST_SCALE = 1e-100


@dataclass(frozen=True)
class Completion:
    """The weight ``sum_k weights[k] left[:, k] right[:, k]^T``, and what happened on the way to it.

    ``left`` (m, k) and ``right`` (n, k), of unit columns, and ``weights`` (k,), which are at least 0 and sum to
    at most the radius, are float64. ``status`` is "gap" (certified), "steps", "seconds", or "stalled" (rounding leaves
    no step). The lists hold an entry for each weight at which the gradient was taken, the last one for the weight
    returned, from which no step was made: the loss; the Frank-Wolfe gap plus the oracle's error (see `complete`);
    the step from there; the matrix-vector products that its oracle took; and the seconds since the start.
    """

    left: Tensor
    right: Tensor
    weights: Tensor
    status: str
    losses: list[float]
    gaps: list[float]
    step_sizes: list[float]
    products: list[int]
    seconds: list[float]
    gradients: int
    lmo_calls: int

    def entries(self, rows: ArrayLike | Tensor, columns: ArrayLike | Tensor) -> Tensor:
        """The weight at these positions, as many as there are; raises `ColaError` for bad indices."""
        shape = (len(self.left), len(self.right))
        at = [torch.from_numpy(index) for index in _indices(rows, columns, shape)]
        found = torch.zeros(len(at[0]), dtype=torch.float64)
        for left, right in zip((self.left * self.weights).T, self.right.T, strict=True):
            found += left[at[0]] * right[at[1]]
        return found

    def matrix(self) -> Tensor:
        """The weight, dense (m, n), for small sizes."""
        return (self.left * self.weights) @ self.right.T


def complete(
    rows: ArrayLike | Tensor,
    columns: ArrayLike | Tensor,
    values: ArrayLike | Tensor,
    shape: tuple[int, int],
    radius: float,
    *,
    rule: str = "exact",
    steps: int = 1000,
    gap_tolerance: float = 0.0,
    seconds: float | None = None,
    oracle_tolerance: float = 0.1,
) -> Completion:
    """Minimise ``|W - M|^2 / (2 |Omega|)``, over the observed entries Omega of M (m, n), with ``|W|_* <= radius``.

    ``rows``, ``columns`` (integers) and ``values`` list the observed entries, each once, in any order. A step costs
    O(|Omega|) for each product with the gradient, and the memory is O(|Omega| + steps (m + n)). ``rule`` is

    - "open-loop", 2 / (t + 2) (Jaggi 2013),
    - "short", gap / (L |V - W|^2) with L = 1 / |Omega|,
    - "exact", line search, in closed form as the loss is quadratic, or
    - "adaptive", "short" with a local L found by backtracking (Pedregosa et al. 2020, Algorithm 2), whose test
      is in closed form as well.

    "short" and "adaptive" also need <V, W>, for O(t (m + n)) at step t.

    The oracle is `leading_pair`, to a residual of ``oracle_tolerance`` times the gap before (and at most `LOOSEST`
    of the largest singular value), so that its additive error, radius times residual, falls with the gap. It
    returns a singular value, which for all it knows is the largest. So once the gap is down to ``gap_tolerance`` a
    second run, from a fresh random start, checks it, to a residual that fits. The run stops when the gap of the
    better pair plus its error is at most ``gap_tolerance``; when the second run refutes the first,
    ``oracle_tolerance`` is halved. It also stops after ``steps`` steps, or at the first gradient later than
    ``seconds``.

    Raises `ColaError` before any work for data, a radius or a setting that is not as said here.
    """
    row, column = _indices(rows, columns, shape)
    order = _row_order(row, column, shape)
    observed = _values(values, len(row))
    _check_settings(radius, rule, steps, gap_tolerance, seconds, oracle_tolerance)
    begin = time.perf_counter()
    entries = _Entries(row[order], column[order], observed[order], shape)
    oracle = _Oracle(entries, radius, oracle_tolerance, gap_tolerance)
    weight = _Weight(shape, radius)
    step_size = _RULES[rule](radius, 1 / entries.count)
    losses: list[float] = []
    gaps: list[float] = []
    step_sizes: list[float] = []
    products: list[int] = []
    times: list[float] = []
    while True:
        loss, products_before = entries.loss(), oracle.products
        atom = oracle.atom(entries.inner())
        elapsed = time.perf_counter() - begin
        step, status = 0.0, ""
        if atom.bound <= gap_tolerance:
            status = "gap"
        elif len(losses) == steps:
            status = "steps"
        elif seconds is not None and elapsed >= seconds:
            status = "seconds"
        else:
            direction = entries.direction(radius * atom.left, atom.right)
            step = step_size(_Situation(len(losses), loss, atom, direction, weight))
            if step == 0:
                status = "stalled"
        losses.append(loss)
        gaps.append(atom.bound)
        step_sizes.append(step)
        products.append(oracle.products - products_before)
        times.append(elapsed)
        if status:
            break
        entries.move(direction, step)
        weight.move(atom, step)
    return Completion(*weight.factors(), status, losses, gaps, step_sizes, products, times, len(losses), oracle.calls)


class _Entries:
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


@dataclass(frozen=True)
class _Atom:
    """``radius left right^T`` with the gap that it shows, and the bound on the gap that its oracle vouches for."""

    left: Tensor
    right: Tensor
    gap: float
    bound: float


class _Oracle:
    """Linear minimisation over the ball, as in `complete`; it counts its calls and products."""

    def __init__(self, entries: _Entries, radius: float, tolerance: float, goal: float) -> None:
        self._entries = entries
        self._radius = radius / entries.count  # times a singular value of the residual, an amount of gap
        self._tolerance = tolerance
        self._goal = goal
        self._relative = min(LOOSEST, tolerance)
        self._memory = torch.zeros(1, entries.shape[1], dtype=torch.float64)
        self._generator = torch.Generator().manual_seed(1)
        self.calls = 0
        self.products = 0

    def atom(self, inner: float) -> _Atom:
        """The atom for the present residual, ``inner`` being <residual, W>."""
        inner /= self._entries.count
        length = float(torch.linalg.vector_norm(self._memory))
        pair = self._pair(self._memory + FRESH * length * self._random(), self._relative)
        gap, error = inner + self._size(pair.value), self._size(pair.residual)
        if gap <= self._goal:
            allowed = max(self._goal - gap, self._goal / 10) / 2
            other = self._pair(self._random(), min(LOOSEST_CHECK, self._relative_to(pair, allowed)))
            other_gap = inner + self._size(other.value)
            if other_gap > gap + error:
                self._tolerance /= 2
            if other_gap > gap:
                pair, gap = other, other_gap
            error = self._size(other.residual)
        self._relative = min(LOOSEST, self._relative_to(pair, self._tolerance * max(gap, 0.0)))
        sign = 1.0 if float((self._memory * pair.right).sum()) >= 0 else -1.0
        self._memory = MEMORY * self._memory + sign * pair.right
        return _Atom(-pair.left[0], pair.right[0], gap, max(gap + error, 0.0))

    def _pair(self, start: Tensor, relative: float) -> LeadingPair:
        pair = leading_pair(self._entries.times, self._entries.transposed, start, relative)
        self.calls += 1
        self.products += pair.products
        return pair

    def _random(self) -> Tensor:
        """A random direction (1, n), of length about 1."""
        size = self._memory.shape
        return torch.randn(size, dtype=torch.float64, generator=self._generator) / math.sqrt(size[1])

    def _size(self, value: Tensor) -> float:
        return self._radius * float(value)

    def _relative_to(self, pair: LeadingPair, error: float) -> float:
        """The relative tolerance that keeps the oracle's additive error at ``error``."""
        return error / self._size(pair.value) if float(pair.value) > 0 else LOOSEST


class _Weight:
    """The weight as ``scale sum_k coefficients[k] left_k right_k^T``, in which a step costs O(m + n)."""

    def __init__(self, shape: tuple[int, int], radius: float) -> None:
        self._radius = radius
        self._lefts, self._rights = (torch.empty(1, size, dtype=torch.float64) for size in shape)
        self._coefficients = torch.empty(1, dtype=torch.float64)
        self._count = 0
        self._scale = 1.0

    def move(self, atom: _Atom, step: float) -> None:
        """To ``(1 - step) W + step radius left right^T``."""
        if step == 1:
            self._count, self._scale = 0, 1.0
        else:
            self._scale *= 1 - step
        if self._scale < SMALLEST_SCALE:
            self._coefficients *= self._scale
            self._scale = 1.0
        if self._count == len(self._coefficients):
            self._lefts, self._rights, self._coefficients = (
                torch.cat((x, torch.empty_like(x))) for x in (self._lefts, self._rights, self._coefficients)
            )
        self._lefts[self._count] = atom.left
        self._rights[self._count] = atom.right
        self._coefficients[self._count] = step * self._radius / self._scale
        self._count += 1

    def factors(self) -> tuple[Tensor, Tensor, Tensor]:
        """left (m, k), right (n, k) and the weights (k,)."""
        kept = slice(self._count)
        return self._lefts[kept].T.clone(), self._rights[kept].T.clone(), self._coefficients[kept] * self._scale

    def inner(self, atom: _Atom) -> float:
        """left^T W right, for O(k (m + n))."""
        left, right = self._lefts[: self._count] @ atom.left, self._rights[: self._count] @ atom.right
        return self._scale * float((self._coefficients[: self._count] * left) @ right)


@dataclass(frozen=True)
class _Situation:
    """What a rule may look at; ``direction`` is V - W on the entries."""

    index: int
    loss: float
    atom: _Atom
    direction: Tensor
    weight: _Weight

    @property
    def curvature(self) -> float:
        """The second derivative of the loss along V - W."""
        return float(self.direction @ self.direction) / len(self.direction)


def _open_loop(at: _Situation) -> float:
    return 2 / (at.index + 2)


def _exact(at: _Situation) -> float:
    return _ratio(at.atom.gap, at.curvature)


class _Short:
    """gap / (L |V - W|^2), with |W|^2 kept from step to step."""

    def __init__(self, radius: float, smoothness: float) -> None:
        self._radius = radius
        self._smoothness = smoothness
        self._squared_norm = 0.0

    def __call__(self, at: _Situation) -> float:
        inner = self._radius * at.weight.inner(at.atom)
        squared_length = max(self._squared_norm - 2 * inner + self._radius**2, 0.0)
        step = _ratio(at.atom.gap, self._bend(at, squared_length))
        kept = (1 - step) ** 2 * self._squared_norm + 2 * (1 - step) * step * inner
        self._squared_norm = kept + (step * self._radius) ** 2
        return step

    def _bend(self, at: _Situation, squared_length: float) -> float:
        return self._smoothness * squared_length


class _Adaptive(_Short):
    """The same with a local L, which a step shrinks by up to a tenth and backtracking doubles."""

    _local: float | None = None
    _loss = math.inf

    def _bend(self, at: _Situation, squared_length: float) -> float:
        if squared_length == 0:
            return 0.0
        curvature = at.curvature
        if self._local is None:  # |gradient(W) - gradient(V)| / |W - V|
            self._local = math.sqrt(curvature * self._smoothness / squared_length)
        elif self._loss > at.loss:
            guess = at.atom.gap**2 / (2 * (self._loss - at.loss) * squared_length)
            self._local = min(max(guess, 0.9 * self._local), self._local)
        self._loss = at.loss
        # The loss falls as much as its model with this L says exactly when L |V - W|^2 >= curvature, and so at
        # the latest when L is the smoothness.
        while self._local * squared_length < curvature and self._local < self._smoothness:
            self._local *= 2
        return self._local * squared_length


def _ratio(gap: float, bend: float) -> float:
    if gap <= 0:
        return 0.0
    return min(1.0, gap / bend) if bend > 0 else 1.0


_RULES: dict[str, Callable[[float, float], Callable[[_Situation], float]]] = {
    "open-loop": lambda radius, smoothness: _open_loop,
    "short": _Short,
    "exact": lambda radius, smoothness: _exact,
    "adaptive": _Adaptive,
}


def _indices(
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


def _row_order(rows: np.ndarray, columns: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """The permutation (k,) that sorts the entries by row, then by column."""
    key = rows * shape[1] + columns
    order = np.argsort(key, kind="stable")
    if bool((np.diff(key[order]) == 0).any()):
        raise ColaError("The observed entries must be distinct; at least one is listed twice.")
    return order


def _array(given: ArrayLike | Tensor) -> np.ndarray:
    return given.detach().cpu().numpy() if isinstance(given, Tensor) else np.asarray(given)


def _values(values: ArrayLike | Tensor, count: int) -> np.ndarray:
    """As float64 (count,)."""
    given = _array(values)
    if given.shape != (count,) or given.dtype.kind not in "iuf":
        raise ColaError(f"The values have shape {given.shape} and dtype {given.dtype}; expected {count} real numbers.")
    if not np.isfinite(given).all():
        raise ColaError("The observed values must be finite.")
    return given.astype(np.float64)


def _check_settings(
    radius: float, rule: str, steps: int, gap_tolerance: float, seconds: float | None, oracle_tolerance: float
) -> None:
    if rule not in _RULES:
        raise ColaError(f"Unknown step rule {rule!r}; expected one of {', '.join(_RULES)}.")
    if not 0 < radius < math.inf:
        raise ColaError(f"The radius is {radius}; expected a finite number above 0.")
    if steps < 1:
        raise ColaError(f"A completion was asked for {steps} steps; expected at least 1.")
    if not 0 <= gap_tolerance < math.inf:
        raise ColaError(f"The gap tolerance is {gap_tolerance}; expected a finite number of at least 0.")
    if not 0 < oracle_tolerance < math.inf:
        raise ColaError(f"The oracle tolerance is {oracle_tolerance}; expected a finite number above 0.")
    if seconds is not None and not seconds > 0:
        raise ColaError(f"The time limit is {seconds} seconds; expected above 0.")
