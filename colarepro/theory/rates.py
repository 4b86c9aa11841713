"""Rates read off curves: a slope on the most linear window, with a bootstrap interval over seeds."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import bootstrap

from colarepro.errors import ColaError

SHORTEST = 0.4  # of the curve: a window below that finds a straight piece in anything


@dataclass(frozen=True)
class Rate:
    """``slope`` of the fitted line with a 95 % bootstrap interval; ``first`` and ``last`` x of its window."""

    slope: float
    low: float
    high: float
    first: float
    last: float

    def scores(self, name: str) -> dict[str, float]:
        """As a record holds it."""
        return {f"{name}_mean": self.slope, f"{name}_low": self.low, f"{name}_high": self.high}


def power_law(steps: np.ndarray, values: np.ndarray) -> Rate:
    """Exponent p of values ~ steps^p; ``steps`` (K,) above 0, ``values`` (K, S) above 0, a column a seed."""
    return _fit(np.log(steps), np.asarray(steps, dtype=float), values)


def linear_rate(steps: np.ndarray, values: np.ndarray) -> Rate:
    """Logarithm of the factor c in values ~ c^steps; shapes as in `power_law`."""
    return _fit(np.asarray(steps, dtype=float), np.asarray(steps, dtype=float), values)


def _fit(x: np.ndarray, steps: np.ndarray, values: np.ndarray) -> Rate:
    """Fit the logarithm of the *mean over seeds*: a bound on an expectation speaks of the mean of the values, and
    the mean of their logarithms lies below it (Jensen)."""
    if values.ndim != 2 or len(x) != len(values) or len(x) < 4 or not (np.isfinite(values) & (values > 0)).all():
        raise ColaError(
            f"A rate was asked for {len(x)} steps and values of shape {values.shape}; expected at least 4 steps and "
            "positive numbers, one row a step."
        )
    window = most_linear_window(x, np.log(values.mean(1)))

    def slope(seeds: np.ndarray, axis: int = -1) -> np.ndarray:
        means = np.log(values[window][:, seeds].mean(axis))
        centred = x[window] - x[window].mean()
        return np.tensordot(centred, means, axes=(0, 0)) / (centred**2).sum()

    best = float(slope(np.arange(values.shape[1])))
    low = high = np.nan
    if values.shape[1] > 1:
        seeds = (np.arange(values.shape[1]),)
        interval = bootstrap(seeds, slope, vectorized=True, n_resamples=1000, method="percentile", rng=0)
        low, high = (float(end) for end in interval.confidence_interval)
    return Rate(best, low, high, float(steps[window][0]), float(steps[window][-1]))


def most_linear_window(x: np.ndarray, y: np.ndarray) -> slice:
    """The window of at least 40 % of the points on which a line leaves the least mean square residual, relative to
    what a constant leaves; x and y (K,)."""
    count = len(x)
    shortest = max(3, round(SHORTEST * count))
    candidates = []
    for first in range(0, count - shortest + 1, max(1, count // 20)):
        for last in range(first + shortest, count + 1, max(1, count // 20)):
            part = slice(first, last)
            residual = y[part] - np.polyval(np.polyfit(x[part], y[part], 1), x[part])
            spread = y[part].var()
            candidates.append((residual.var() / spread if spread > 0 else 0.0, first - last, first, last))
    _, _, first, last = min(candidates)
    return slice(first, last)
