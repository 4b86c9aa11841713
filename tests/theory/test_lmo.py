"""The oracle against dense SVD and against cvxpy. Page: theory/frank-wolfe-convex.md."""

import math

import cvxpy
import numpy as np
import pytest
import torch
from torch import Tensor

from colarepro.errors import ColaError
from colarepro.theory.lmo import Atom, nuclear_ball_lmo


def random_matrices(*size: int, seed: int = 0) -> Tensor:
    return torch.randn(size, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (5, 1), (6, 4), (4, 6), (80, 50)])
@pytest.mark.parametrize("tolerance", [0.0, 1e-2, 1e-10])
def test_atoms_minimise_within_the_tolerance(shape: tuple[int, int], tolerance: float) -> None:
    gradient = random_matrices(5, *shape)
    atom = nuclear_ball_lmo(gradient, 3.0, tolerance)
    assert (atom.products > 0) == (tolerance > 0 and min(shape) > 1)
    for position, own in enumerate(gradient.numpy()):
        largest = np.linalg.svd(own)[1][0]
        error = float(atom.inner(gradient)[position]) + 3.0 * largest
        assert -1e-12 <= error <= 3.0 * largest * tolerance + 1e-12
        values = np.linalg.svd(atom.matrix()[position].numpy())[1]
        np.testing.assert_allclose(values, [3.0] + [0.0] * (min(shape) - 1), atol=1e-12)
    torch.testing.assert_close(atom.inner(gradient), (atom.matrix() * gradient).sum((1, 2)))


@pytest.mark.parametrize("shape", [(5, 4), (8, 6)])
def test_the_atom_solves_the_convex_program(shape: tuple[int, int]) -> None:
    """minimise <G, V> over |V|_* <= tau, by an interior-point method that knows no singular vectors."""
    gradient, radius = random_matrices(1, *shape, seed=2), 1.7
    point = cvxpy.Variable(shape)
    own = gradient[0].numpy()
    program = cvxpy.Problem(cvxpy.Minimize(cvxpy.trace(own.T @ point)), [cvxpy.normNuc(point) <= radius])
    program.solve(solver="CLARABEL")
    assert point.value is not None
    for tolerance in (0.0, 1e-10):
        atom = nuclear_ball_lmo(gradient, radius, tolerance)
        assert float(atom.inner(gradient)) == pytest.approx(program.value, rel=1e-6)
        np.testing.assert_allclose(atom.matrix()[0].numpy(), point.value, atol=1e-4)


def test_a_warm_start_in_the_wrong_singular_vector_does_not_trap_the_iteration() -> None:
    gradient = random_matrices(1, 40, 30)
    left, values, right = torch.linalg.svd(gradient, full_matrices=False)
    for index in (1, 7, 29):
        wrong = Atom(1.0, left[:, :, index], right[:, index])
        atom = nuclear_ball_lmo(gradient, 1.0, 1e-8, wrong)
        torch.testing.assert_close(-atom.inner(gradient), values[:, 0], rtol=1e-8, atol=0)


def test_a_warm_start_near_the_answer_takes_fewer_products() -> None:
    gradient = random_matrices(3, 60, 50)
    cold = nuclear_ball_lmo(gradient, 1.0, 1e-3)
    warm = nuclear_ball_lmo(gradient + 1e-4 * random_matrices(3, 60, 50, seed=1), 1.0, 1e-3, cold)
    assert warm.products < cold.products


def test_a_zero_gradient_still_gives_a_vertex() -> None:
    for tolerance in (0.0, 1e-6):
        atom = nuclear_ball_lmo(torch.zeros(2, 4, 3, dtype=torch.float64), 2.0, tolerance)
        torch.testing.assert_close(torch.linalg.matrix_norm(atom.matrix(), "nuc"), torch.full((2,), 2.0).double())


@pytest.mark.parametrize("radius", [0.0, -1.0, math.nan, math.inf])
def test_bad_radius_is_refused(radius: float) -> None:
    with pytest.raises(ColaError, match="Radius"):
        nuclear_ball_lmo(random_matrices(1, 3, 3), radius)


def test_what_is_no_batch_of_finite_matrices_is_refused() -> None:
    with pytest.raises(ColaError, match="not finite"):
        nuclear_ball_lmo(torch.full((1, 3, 3), math.inf), 1.0)
    with pytest.raises(ColaError, match="shape"):
        nuclear_ball_lmo(random_matrices(3, 3), 1.0)
