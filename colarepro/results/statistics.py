"""Mean and 95 % interval over seeds."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t

TINY = 1e-32  # below any excess that float64 resolves; keeps the logarithm finite at an exact optimum


@dataclass(frozen=True)
class Interval:
    """A mean over ``count`` seeds and the ends of Student's 95 % interval for it."""

    mean: float
    low: float
    high: float
    count: int

    def scores(self, name: str) -> dict[str, float]:
        """As a record holds it: ``name_mean``, ``name_low``, ``name_high``."""
        return {f"{name}_mean": self.mean, f"{name}_low": self.low, f"{name}_high": self.high}


def mean_interval(values: Sequence[float], geometric: bool = False) -> Interval:
    """Student's interval for the mean, or with ``geometric`` for the mean of the logarithm, transformed back.

    Excesses of different seeds lie orders of magnitude apart, where an arithmetic mean shows the worst seed
    only. With one seed, or with a value that is not finite, the interval's ends are NaN.
    """
    data = np.asarray(values, dtype=float)
    if geometric:
        data = np.log(np.maximum(data, TINY))
    mean, half = float(data.mean()) if np.isfinite(data).all() else math.inf, math.nan
    if len(data) > 1 and math.isfinite(mean):
        half = float(t.ppf(0.975, len(data) - 1) * data.std(ddof=1) / math.sqrt(len(data)))
    if geometric:
        return Interval(math.exp(mean), math.exp(mean - half), math.exp(mean + half), len(data))
    return Interval(mean, mean - half, mean + half, len(data))
