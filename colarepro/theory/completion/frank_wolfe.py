"""Frank-Wolfe for matrix completion."""

import math
import time
from dataclasses import dataclass

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from colarepro.errors import ColaError
from colarepro.theory.completion.observations import Observations, checked_indices, checked_values, row_order
from colarepro.theory.completion.oracle import Oracle
from colarepro.theory.completion.rules import RULES, Situation
from colarepro.theory.completion.weight import Weight


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
        at = [torch.from_numpy(index) for index in checked_indices(rows, columns, shape)]
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
    row, column = checked_indices(rows, columns, shape)
    order = row_order(row, column, shape)
    observed = checked_values(values, len(row))
    _check_settings(radius, rule, steps, gap_tolerance, seconds, oracle_tolerance)
    begin = time.perf_counter()
    observations = Observations(row[order], column[order], observed[order], shape)
    oracle = Oracle(observations, radius, oracle_tolerance, gap_tolerance)
    weight = Weight(shape, radius)
    step_size = RULES[rule](radius, 1 / observations.count)
    losses: list[float] = []
    gaps: list[float] = []
    step_sizes: list[float] = []
    products: list[int] = []
    times: list[float] = []
    while True:
        loss, products_before = observations.loss(), oracle.products
        atom = oracle.atom(observations.inner())
        elapsed = time.perf_counter() - begin
        step, status = 0.0, ""
        if atom.bound <= gap_tolerance:
            status = "gap"
        elif len(losses) == steps:
            status = "steps"
        elif seconds is not None and elapsed >= seconds:
            status = "seconds"
        else:
            direction = observations.direction(radius * atom.left, atom.right)
            step = step_size(Situation(len(losses), loss, atom, direction, weight))
            if step == 0:
                status = "stalled"
        losses.append(loss)
        gaps.append(atom.bound)
        step_sizes.append(step)
        products.append(oracle.products - products_before)
        times.append(elapsed)
        if status:
            break
        observations.move(direction, step)
        weight.move(atom, step)
    return Completion(*weight.factors(), status, losses, gaps, step_sizes, products, times, len(losses), oracle.calls)


def _check_settings(
    radius: float, rule: str, steps: int, gap_tolerance: float, seconds: float | None, oracle_tolerance: float
) -> None:
    if rule not in RULES:
        raise ColaError(f"Unknown step rule {rule!r}; expected one of {', '.join(RULES)}.")
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
