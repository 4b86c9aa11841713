"""The Frank-Wolfe gap of the training loss.

The weights of all targets are one point W = W0 + delta. The set K is the product of the nuclear-norm balls of radius
tau_l round each W0_l, so that the best vertex is found layer by layer: -tau_l u v^T of the gradient's leading pair.
"""

import numpy as np


def frank_wolfe_gap(inner: np.ndarray, largest: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """max over V in K of <gradient, W - V>, (points,): the sum over targets of <G, delta> + tau sigma_1(G).

    ``inner`` and ``largest`` are (points, targets), ``radius`` (targets,). At least 0 for every W in K.
    """
    return np.asarray((inner + radius * largest).sum(-1))
