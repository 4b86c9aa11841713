"""Block Frank-Wolfe, and Frank-Wolfe whose oracle is a LoRA link. Page: theory/frank-wolfe-convex.md."""

import cvxpy
import numpy as np
import pytest
import torch
from torch import Tensor

from colarepro.theory.method import minimize
from colarepro.theory.methods import BlockFrankWolfe, FrankWolfe, IdealizedCola, Lora
from colarepro.theory.problems import FactorizationSpec, RegressionSpec
from colarepro.theory.spectral import nuclear_norm, project_nuclear_ball, spectral_norm, truncate
from tests.theory.cases import REGRESSION


def random_matrices(*size: int, seed: int = 0) -> Tensor:
    return torch.randn(size, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("condition", [1.0, 3.0])
def test_a_block_of_the_true_rank_converges_linearly_where_single_atoms_do_not(condition: float) -> None:
    spec = RegressionSpec(outputs=6, inputs=8, samples=80, rank=3, condition=condition)
    problem, radius = spec.draw([0, 1, 2]), spec.nuclear_norm  # the optimum is on the ball's boundary
    method = BlockFrankWolfe(radius=radius, rank=3, block_step=0.3 if condition > 1 else 1.0)
    excess = np.array(minimize(problem, method, steps=150).trace.excess)
    seen = excess[::10][(excess[::10] > 1e-13).all(1)]  # beyond that is rounding
    assert (seen[1:] / seen[:-1] < 0.5).all()
    assert (excess[-1] < 1e-11).all()
    for slow in (FrankWolfe(radius=radius, rule="short"), BlockFrankWolfe(radius=radius, rank=2)):
        assert (minimize(problem, slow, steps=150, every=150).trace.excess[-1] > 1e-4).all()


def asked(method: BlockFrankWolfe, steps: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradient, update, V and L eta of the last of some steps on a regression of 3 x 4."""
    problem = RegressionSpec(outputs=3, inputs=4, samples=20, rank=2, condition=3.0).draw([0, 1])
    state = method.init(problem, steps, [0, 1])
    for _ in range(steps):
        update = state.update
        state = method.step(problem, state)
    assert state.asked is not None
    assert state.vertex is not None
    return state.asked, update, state.vertex, problem.smoothness * method.block_step


@pytest.mark.parametrize("radius", [1.0, 30.0])
def test_the_block_solves_its_convex_subproblem(radius: float) -> None:
    """With the full rank it is a convex program, which cvxpy solves."""
    gradient, update, vertex, bend = asked(BlockFrankWolfe(radius=radius, rank=3), steps=2)
    for seed in range(2):
        point = cvxpy.Variable((3, 4))
        slope, here = gradient[seed].numpy(), update[seed].numpy()
        cost = cvxpy.trace(slope.T @ point) + float(bend[seed]) / 2 * cvxpy.sum_squares(point - here)
        cvxpy.Problem(cvxpy.Minimize(cost), [cvxpy.normNuc(point) <= radius]).solve(solver="CLARABEL")
        assert point.value is not None
        np.testing.assert_allclose(vertex[seed].numpy(), point.value, atol=1e-5 * radius)


@pytest.mark.parametrize("rank", [1, 2])
def test_no_point_of_the_rank_and_the_ball_beats_the_block(rank: int) -> None:
    radius = 4.0
    gradient, update, vertex, bend = asked(BlockFrankWolfe(radius=radius, rank=rank, block_step=0.4), steps=3)
    assert int(torch.linalg.matrix_rank(vertex, rtol=1e-10).max()) <= rank
    assert float(nuclear_norm(vertex).max()) <= radius * (1 + 1e-12)

    def cost(point: Tensor) -> Tensor:
        return (gradient * point).sum((-2, -1)) + bend / 2 * (point - update).square().sum((-2, -1))

    others = random_matrices(2000, 2, 3, rank) @ random_matrices(2000, 2, rank, 4, seed=1)
    others = radius * others / nuclear_norm(others)[..., None, None]
    near = truncate(vertex + 0.05 * random_matrices(2000, 2, 3, 4, seed=2), rank)
    near = near * (radius / nuclear_norm(near)).clamp(max=1)[..., None, None]
    for points in (others, near):
        for size in (1.0, 0.6, 0.0):
            assert bool((cost(size * points) >= cost(vertex) - 1e-12).all())


def test_the_projection_of_a_matrix_far_outside_is_still_in_the_ball() -> None:
    """Its singular values less the radius are themselves in float64."""
    far = 1e20 * random_matrices(2, 4, 3)
    assert float(nuclear_norm(project_nuclear_ball(far, 1.0)).max()) <= 1 + 1e-12


@pytest.mark.parametrize("rank", [1, 2])
def test_a_links_answer_is_a_point_of_the_ball_and_never_better_than_the_oracles(rank: int) -> None:
    problem, radius = REGRESSION.draw([0, 1, 2]), 3.0
    method = IdealizedCola(radius=radius, rank=rank, link_steps=8)
    state = method.init(problem, 20, [0, 1, 2])
    for step in range(1, 21):
        gradient = problem.gradient(method.postprocess(problem, state))
        state = method.step(problem, state)
        assert state.vertex is not None
        torch.testing.assert_close(nuclear_norm(state.vertex), torch.full((3,), radius, dtype=torch.float64))
        assert int(torch.linalg.matrix_rank(state.vertex, rtol=1e-9).max()) <= rank
        error = (gradient * state.vertex).sum((1, 2)) + radius * spectral_norm(gradient)
        assert bool((error >= -1e-12).all())
        assert state.gradients == 9 * step
        assert state.lmo_calls == step


def test_the_links_answer_is_what_lora_trains_scaled_to_the_ball() -> None:
    problem = REGRESSION.draw([0, 1])
    method = IdealizedCola(radius=3.0, rank=2, link_steps=8)
    state = method.step(problem, method.init(problem, 1, [4, 5]))
    trained = minimize(problem, Lora(rank=2), steps=8, seeds=[4, 5]).weight - problem.start
    assert state.vertex is not None
    torch.testing.assert_close(state.vertex, 3.0 * trained / nuclear_norm(trained)[:, None, None])


def test_a_link_that_has_nowhere_to_go_leaves_the_weight_where_it_is() -> None:
    problem = FactorizationSpec(rows=4, columns=3, rank=1, size=0.0).draw([0, 1])
    run = minimize(problem, IdealizedCola(radius=1.0), steps=3)
    assert torch.equal(run.weight, problem.start)
    assert np.isnan(run.trace.oracle_share[-1]).all()
