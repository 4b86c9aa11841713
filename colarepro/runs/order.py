"""The order of a run's examples."""

import numpy as np


def order(seed: int, epoch: int, examples: int) -> np.ndarray:
    """A permutation of ``examples`` places, int64, that depends on the run's seed and the epoch (from 0) alone."""
    return np.random.default_rng([seed, epoch]).permutation(examples)
