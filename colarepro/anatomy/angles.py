"""Principal angles between the spaces that two links write to, and between those that they read from."""

import numpy as np
from scipy.linalg import subspace_angles
from torch import Tensor

from colarepro.chain.target import Factors


def principal_angles(one: Tensor, other: Tensor) -> np.ndarray:
    """Between the column spaces of two matrices, in degrees, from the smallest; as many as the thinner has columns, NaN
    for those that a space of fewer dimensions lacks."""
    found = np.degrees(subspace_angles(one.double().numpy(), other.double().numpy()))[::-1]
    return np.pad(found, (0, min(one.shape[1], other.shape[1]) - len(found)), constant_values=np.nan)


def angles_between(one: Factors, other: Factors) -> tuple[np.ndarray, np.ndarray]:
    """Between two updates' column spaces (outputs, of B) and row spaces (inputs, of A)."""
    return principal_angles(one.B, other.B), principal_angles(one.A.T, other.A.T)


def chance_angles(one: Factors, other: Factors, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The same between random spaces of these sizes, drawn once: what two links have that know nothing of another."""
    drawn = [
        [rng.standard_normal(shape) for shape in (update.B.shape, tuple(update.A.T.shape))] for update in (one, other)
    ]
    columns, rows = (np.degrees(subspace_angles(drawn[0][side], drawn[1][side]))[::-1] for side in (0, 1))
    return columns, rows
