"""The certified best points against brute force, SciPy and CVXPY. Page: theory/README.md."""

from dataclasses import replace

import cvxpy
import numpy as np
import pytest
import torch
from scipy import optimize

from colarepro.theory.lmo import nuclear_ball_lmo
from colarepro.theory.problems import (
    Counterexample,
    FactorizationSpec,
    LowRankRegression,
    RegressionSpec,
    RobustSpec,
    SoftmaxSpec,
    TwoLayerSpec,
)
from colarepro.theory.spectral import nuclear_norm
from tests.theory.problem_cases import CASES, SEEDS, Case, normal

NAMED = {case.name: case for case in CASES}
CLOSED = ("regression", "regression, fewer samples than inputs", "regression, isotropic", "factorization")


def least_at_rank(case: Case, seed: int, rank: int) -> float:
    """The least loss over factors of the update, from several starts."""
    m, n = case.problem.shape

    def loss_and_slope(flat: np.ndarray) -> tuple[float, np.ndarray]:
        leaf = torch.tensor(flat, requires_grad=True)
        left, right = leaf[: m * rank].view(m, rank), leaf[m * rank :].view(rank, n)
        loss = case.train_loss(case.problem.start[seed] + left @ right, seed)
        loss.backward()
        assert leaf.grad is not None
        return loss.item(), leaf.grad.numpy()

    rng = np.random.default_rng(0)
    return min(
        optimize.minimize(loss_and_slope, rng.standard_normal((m + n) * rank), jac=True, method="BFGS", tol=1e-6).fun
        for _ in range(4)
    )


@pytest.mark.parametrize("name", CLOSED)
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_best_at_rank_is_the_least_over_all_factors(name: str, rank: int) -> None:
    case = NAMED[name]
    best = case.problem.best_at_rank(rank)
    assert best is not None
    torch.testing.assert_close(case.problem.loss(best.weight), best.value)
    for seed in range(SEEDS):
        assert np.linalg.matrix_rank((best.weight - case.problem.start)[seed].numpy(), tol=1e-9) <= rank
        assert float(best.value[seed]) == pytest.approx(least_at_rank(case, seed, rank), abs=1e-8)


def test_best_at_rank_is_reduced_rank_regression_in_izenmans_form() -> None:
    """Project the least-squares update on the leading directions of its fitted values."""
    case = NAMED["regression"]
    best = case.problem.best_at_rank(2)
    assert best is not None
    for seed in range(SEEDS):
        x, y, start = case.train[0][seed].numpy(), case.train[1][seed].numpy(), case.problem.start[seed].numpy()
        update = np.linalg.lstsq(x, y - x @ start.T, rcond=None)[0].T
        leading = np.linalg.svd(x @ update.T)[2][:2]
        np.testing.assert_allclose((best.weight - case.problem.start)[seed].numpy(), leading.T @ leading @ update)


def test_regression_on_few_samples_takes_the_least_squares_solution_nearest_to_the_start() -> None:
    case = NAMED["regression, fewer samples than inputs"]
    everything = case.problem.best_at_rank(3)
    assert everything is not None
    for seed in range(SEEDS):
        x, y, start = case.train[0][seed].numpy(), case.train[1][seed].numpy(), case.problem.start[seed].numpy()
        nearest = start + (np.linalg.pinv(x) @ (y - x @ start.T)).T
        np.testing.assert_allclose(everything.weight[seed].numpy(), nearest, atol=1e-9)


def least_in_ball(case: Case, seed: int, radius: float) -> float:
    """CVXPY's least loss over the nuclear-norm ball, for a loss that is a sum of squares."""
    update = cvxpy.Variable(case.problem.shape)
    weight = case.problem.start[seed].numpy() + update
    x, y = (part[seed].numpy() for part in case.train)
    residual = weight - y if case.name == "factorization" else x @ weight.T - y
    count = y.size if case.name == "factorization" else len(x)
    goal = cvxpy.Minimize(cvxpy.sum_squares(residual) / (2 * count))
    return float(cvxpy.Problem(goal, [cvxpy.normNuc(update) <= radius]).solve(solver=cvxpy.CLARABEL))


@pytest.mark.parametrize("name", ["regression, isotropic", "factorization"])
@pytest.mark.parametrize("share", [0.3, 0.8, 1.0])
def test_best_in_ball_agrees_with_cvxpy_and_is_certified_by_its_gap(name: str, share: float) -> None:
    """The Frank-Wolfe gap bounds the excess over the ball from above, so a gap of zero proves the closed form."""
    case = NAMED[name]
    problem = case.problem
    everything = problem.best_at_rank(3)
    assert everything is not None
    radius = share * float(nuclear_norm(everything.weight - problem.start).max())
    best = problem.best_in_ball(radius)
    assert best is not None
    update, gradient = best.weight - problem.start, problem.gradient(best.weight)
    assert bool((nuclear_norm(update) <= radius * (1 + 1e-9)).all())
    gap = (gradient * update).sum((1, 2)) - nuclear_ball_lmo(gradient, radius).inner(gradient)
    torch.testing.assert_close(gap, torch.zeros_like(gap), atol=1e-10, rtol=0)
    for seed in range(SEEDS):
        assert float(best.value[seed]) == pytest.approx(least_in_ball(case, seed, radius), abs=1e-6)


def test_references_are_none_where_no_closed_form_is_known() -> None:
    for name in ("completion", "robust", "two-layer", "digits", "counterexample"):
        assert NAMED[name].problem.best_at_rank(1) is None
        assert NAMED[name].problem.best_in_ball(1.0) is None
    assert NAMED["softmax"].problem.best_at_rank(1) is None
    for name in ("regression", "softmax"):  # known as soon as the ball holds the optimum
        problem = NAMED[name].problem
        assert problem.best_in_ball(0.1) is None
        inside = problem.best_in_ball(1e3)
        assert inside is not None
        torch.testing.assert_close(inside.value, problem.best_value)
        torch.testing.assert_close(problem.excess(inside.weight), torch.zeros(SEEDS, dtype=torch.float64))


def test_taking_seeds_keeps_what_is_known_about_them() -> None:
    """One seed with a hole in its mask, or a design that is not isotropic, hides the others' closed forms."""
    holed = FactorizationSpec(rows=2, columns=2, rank=1, observed=0.9).draw([0, 1, 2, 3, 4, 5])
    assert holed.best_at_rank(1) is None
    whole = [seed for seed in range(6) if holed.take([seed]).best_at_rank(1) is not None]
    assert 0 < len(whole) < 6
    best = holed.take(whole).best_at_rank(1)
    assert best is not None
    assert float(best.value.abs().max()) < 1e-25
    x, y, start = normal(0, 2, 9, 4), normal(1, 2, 9, 3), normal(2, 2, 3, 4)
    x[0] = 3 * torch.linalg.qr(x[0]).Q
    mixed = LowRankRegression(x, y, start, x, y)
    assert mixed.best_in_ball(0.1) is None
    assert mixed.take([0]).best_in_ball(0.1) is not None
    assert mixed.take([1]).best_in_ball(0.1) is None


def test_softmax_optimum_is_certified_and_its_excess_does_not_cancel() -> None:
    problem = SoftmaxSpec(outputs=3, inputs=4, samples=40, test_samples=5).draw([0, 1])
    best = problem.best_at_rank(3)
    assert best is not None
    slope = problem.gradient(best.weight)
    assert bool((slope.square().sum((1, 2)) / (2 * problem.strong_convexity) <= 1e-14).all())
    assert torch.equal(problem.excess(best.weight), torch.zeros(2, dtype=torch.float64))
    direction = normal(0, 2, 3, 4)
    # Half the second derivative times the squared length, far below the rounding of the loss itself.
    bend = (problem.gradient(best.weight + 1e-5 * direction) - problem.gradient(best.weight - 1e-5 * direction)) / 2e-5
    half = (bend * direction).sum((1, 2)) / 2
    torch.testing.assert_close(problem.excess(best.weight + 1e-9 * direction), 1e-18 * half, rtol=1e-5, atol=0)
    far = best.weight + 1e4 * direction
    torch.testing.assert_close(problem.excess(far), problem.loss(far) - problem.best_value, rtol=1e-12, atol=0)


@pytest.mark.parametrize("ridge", [1e-4, 1.0])
def test_softmax_obeys_the_pl_inequality_with_its_strong_convexity(ridge: float) -> None:
    problem = SoftmaxSpec(outputs=3, inputs=4, samples=10, size=20.0, ridge=ridge, test_samples=5).draw([0, 1, 2])
    assert torch.equal(problem.strong_convexity, torch.full((3,), ridge, dtype=torch.float64))
    for seed in range(5):
        weight = problem.start + 10.0 ** (seed - 2) * normal(seed, 3, 3, 4)
        half = problem.gradient(weight).square().sum((1, 2)) / 2
        assert bool((half >= problem.strong_convexity * problem.excess(weight)).all())


def test_robust_loss_without_noise_and_outliers_is_zero_at_the_target() -> None:
    spec = RobustSpec(outliers=0.0)
    shared = {name: getattr(spec, name) for name in ("outputs", "inputs", "samples", "rank", "size", "decay")}
    target = RegressionSpec(**shared).draw([0, 1]).best_at_rank(spec.rank)  # the same start, shift and inputs
    zero = torch.zeros(2, dtype=torch.float64)
    torch.testing.assert_close(spec.draw([0, 1]).excess(target.weight), zero, atol=1e-24, rtol=0)
    assert bool((replace(spec, outliers=0.1).draw([0, 1]).excess(target.weight) > 0.1).all())


@pytest.mark.parametrize("hidden", [3, 5, 9])
def test_two_layers_reach_their_target_by_one_update_of_the_stated_rank_and_nuclear_norm(hidden: int) -> None:
    spec = TwoLayerSpec(outputs=5, inputs=7, hidden=hidden, rank=2, samples=20)
    problem = spec.draw([0, 1])
    first, second = problem.start[:, :, :7], problem.start[:, :, 7:].mT
    torch.testing.assert_close(first @ first.mT, second.mT @ second)  # balanced
    torch.testing.assert_close(problem.best_value, torch.zeros(2, dtype=torch.float64), atol=1e-25, rtol=0)
    # By the first layer alone: W2 has orthonormal directions, so its transpose undoes it.
    target = torch.linalg.lstsq(problem._inputs, problem._targets).solution.mT
    update = torch.cat([second.mT @ (target - second @ first), torch.zeros(2, hidden, 5)], 2)
    torch.testing.assert_close(problem.excess(problem.start + update), torch.zeros(2, dtype=torch.float64))
    torch.testing.assert_close(nuclear_norm(update), torch.full((2,), spec.nuclear_norm, dtype=torch.float64))
    assert list(np.linalg.matrix_rank(update.numpy(), tol=1e-9)) == [2, 2]


def test_counterexample_optimum() -> None:
    problem = Counterexample(2)
    torch.testing.assert_close(problem.loss(problem.start), torch.zeros(2, dtype=torch.float64))
    weight = torch.full((2, 3, 3), -0.5, dtype=torch.float64)
    weight[:, 0, 0] = -0.05
    assert float(problem.gradient(weight).abs().max()) == 0
    torch.testing.assert_close(problem.best_value, torch.full((2,), -2.025, dtype=torch.float64))
