"""A link as a linear minimization oracle."""

from dataclasses import dataclass

import numpy as np
import torch

from colarepro.anatomy.slope import Slope
from colarepro.anatomy.spectrum import singular_values
from colarepro.chain.target import Factors


@dataclass(frozen=True)
class Oracle:
    """A link's total update D as an answer to the question that the gradient G at the link's start put.

    ``shortfall`` is sigma_1(G) + <G, D> / |D|_*, which is the oracle's additive error in a ball of radius 1; the error
    of the whole answer, the epsilon of equation (1) of arXiv 2401.04151, is its sum over targets times their radius.
    ``share`` is that of sigma_1(G): 0 is an exact oracle, 1 gains nothing. ``cosine_top`` is the cosine between D
    and the best vertex's direction -u v^T, ``cosine_gradient`` that between D and -G.
    """

    shortfall: float
    share: float
    cosine_top: float
    cosine_gradient: float


def oracle(slope: Slope, link: Factors) -> Oracle:
    """What a link's update is worth as an oracle's answer; NaN for a link or a gradient that is zero."""
    values = singular_values(link)
    nuclear, size = float(values.sum()), float(torch.linalg.vector_norm(values))
    if nuclear == 0 or slope.value == 0:
        return Oracle(np.nan, np.nan, np.nan, np.nan)
    inner = slope.inner(link)
    shortfall = slope.value + inner / nuclear
    return Oracle(shortfall, shortfall / slope.value, slope.along_top(link) / size, -inner / (size * slope.norm))
