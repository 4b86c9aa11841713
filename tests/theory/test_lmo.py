"""The oracle against dense SVD. Page: theory/frank-wolfe-convex.md."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from colarepro.errors import ColaError
from colarepro.theory.lmo import Atom, nuclear_ball_lmo


def random_matrix(shape: tuple[int, int], seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (5, 1), (6, 4), (4, 6), (80, 50)])
@pytest.mark.parametrize("tolerance", [0.0, 1e-2, 1e-10])
def test_atom_minimises_within_the_tolerance(shape: tuple[int, int], tolerance: float) -> None:
    for seed in range(5):
        gradient = random_matrix(shape, seed)
        atom = nuclear_ball_lmo(gradient, 3.0, tolerance)
        largest = float(np.linalg.svd(gradient.numpy())[1][0])
        error = atom.inner(gradient) + 3.0 * largest
        assert -1e-12 <= error <= 3.0 * largest * tolerance + 1e-12
        values = np.linalg.svd(atom.matrix().numpy())[1]
        np.testing.assert_allclose(values, [3.0] + [0.0] * (min(shape) - 1), atol=1e-12)
        assert atom.inner(gradient) == pytest.approx(float((atom.matrix() * gradient).sum()))


def test_a_warm_start_in_the_wrong_singular_vector_does_not_trap_the_iteration() -> None:
    gradient = random_matrix((40, 30))
    left, values, right = torch.linalg.svd(gradient, full_matrices=False)
    for index in (1, 7, 29):
        atom = nuclear_ball_lmo(gradient, 1.0, 1e-8, Atom(1.0, left[:, index], right[index]))
        assert -atom.inner(gradient) == pytest.approx(float(values[0]), rel=1e-8)


def test_a_zero_gradient_still_gives_a_vertex() -> None:
    for tolerance in (0.0, 1e-6):
        atom = nuclear_ball_lmo(torch.zeros(4, 3, dtype=torch.float64), 2.0, tolerance)
        assert float(torch.linalg.matrix_norm(atom.matrix(), "nuc")) == pytest.approx(2.0)


@pytest.mark.parametrize("radius", [0.0, -1.0, math.nan, math.inf])
def test_bad_radius_is_refused(radius: float) -> None:
    with pytest.raises(ColaError, match="Radius"):
        nuclear_ball_lmo(random_matrix((3, 3)), radius)


def test_a_gradient_that_is_not_finite_is_refused() -> None:
    with pytest.raises(ColaError, match="not finite"):
        nuclear_ball_lmo(torch.full((3, 3), math.inf), 1.0)
