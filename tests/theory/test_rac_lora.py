"""RAC-LoRA's step and its rates. Page: theory/rac-lora.md."""

from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from colarepro.errors import ColaError
from colarepro.theory.bounds import rac_contraction, rac_mean_square_gradient, rac_share
from colarepro.theory.method import minimize
from colarepro.theory.methods import Full, GradientDescent, RacLora
from colarepro.theory.problem import ProblemSpec
from colarepro.theory.problems import FactorizationSpec, RegressionSpec, RobustSpec

INPUTS, SEEDS = 24, 400
ISOTROPIC = RegressionSpec(outputs=16, inputs=INPUTS, samples=INPUTS, rank=6, isotropic=True, test_samples=1)
CONDITIONED = RegressionSpec(outputs=16, inputs=INPUTS, samples=4 * INPUTS, rank=6, condition=4.0, test_samples=1)
ROBUST = RobustSpec(outputs=16, inputs=INPUTS, samples=INPUTS, rank=4, test_samples=1)
RANKS = (1, 2, 4, 8, 16)


def runs(spec: ProblemSpec, rank: int, steps: int, factor: float = 1.0) -> tuple[Any, np.ndarray, np.ndarray]:
    """One problem under 400 streams of projections: the problem, the excesses and the squared gradient norms before
    each step and after the last (steps + 1, 400). The expectation is over the projections alone."""
    problem = spec.draw([0]).take([0] * SEEDS)
    method = RacLora(rank=rank, descent=GradientDescent(factor, "problem"))
    state = method.init(problem, steps, range(SEEDS))
    excess, squares = [], []
    for index in range(steps + 1):  # not `minimize`, whose trace takes two SVDs a seed and step
        weight = method.postprocess(problem, state)
        excess.append(problem.excess(weight).numpy())
        squares.append(problem.gradient(weight).square().sum((1, 2)).numpy())
        if index < steps:
            state = method.step(problem, state)
    return problem, np.array(excess), np.array(squares)


def interval(sample: np.ndarray) -> tuple[float, float]:
    """A 99.9 % interval for the mean, by Student's t."""
    half = stats.t.ppf(0.9995, len(sample) - 1) * stats.sem(sample)
    return float(sample.mean() - half), float(sample.mean() + half)


def horizon(rank: int) -> int:
    """Steps in which the mean gap falls to about a tenth: beyond that rare seeds carry the mean."""
    return max(2, round(2.3 * INPUTS / rank))


@pytest.mark.parametrize("rank", [1, 3, 5])
def test_the_step_is_gradient_descent_projected_on_the_rows_of_A(rank: int) -> None:
    """W - gamma G A^T (A A^T)^+ A, by NumPy's pseudo-inverse, for three fresh A: arXiv 2410.08305, equation 4."""
    problem = CONDITIONED.draw([0, 1])
    method = RacLora(rank=rank, descent=GradientDescent(0.7, "problem"))
    state = method.init(problem, 4, [3, 4])
    seen = []
    for _ in range(3):
        A = state.A.detach().numpy().copy()
        seen.append(A)
        before = method.postprocess(problem, state)
        gradient = problem.gradient(before).numpy()
        state = method.step(problem, state)
        after = method.postprocess(problem, state).numpy()
        for seed in range(2):
            gamma = 0.7 / float(problem.smoothness[seed])
            own = A[seed]
            projection = own.T @ np.linalg.pinv(own @ own.T) @ own
            expected = before[seed].numpy() - gamma * gradient[seed] @ projection
            np.testing.assert_allclose(after[seed], expected, rtol=0, atol=1e-12)
    assert not np.array_equal(seen[0], seen[1])
    assert not np.array_equal(seen[1], seen[2])


def test_of_full_rank_it_is_gradient_descent() -> None:
    problem = RegressionSpec(outputs=6, inputs=6, samples=20, rank=2, condition=3.0).draw([0, 1])
    rac = minimize(problem, RacLora(rank=6), steps=10).weight
    torch.testing.assert_close(rac, minimize(problem, Full(), steps=10).weight)


@pytest.mark.parametrize("rank", RANKS)
@pytest.mark.parametrize("spec", [ISOTROPIC, FactorizationSpec(rows=16, columns=INPUTS, rank=4)], ids=("reg", "fac"))
def test_on_an_isotropic_quadratic_the_mean_gap_contracts_by_exactly_one_minus_r_over_n(
    spec: ProblemSpec, rank: int
) -> None:
    """At step 1 / L, where mu = L, in one step and in as many as reach a tenth of the gap; both sides."""
    steps = horizon(rank)
    problem, excess, _ = runs(spec, rank, steps)
    smoothness = float(problem.smoothness[0])
    factor = rac_contraction(1 / smoothness, smoothness, rank, INPUTS)
    assert factor == pytest.approx(1 - rank / INPUTS)
    for step in (1, steps):
        low, high = interval(excess[step] / excess[0])
        assert low <= factor**step <= high
        assert high - low < 0.5 * factor**step  # the interval says something


@pytest.mark.parametrize("rank", RANKS)
def test_at_half_the_step_it_contracts_by_more_than_the_bound(rank: int) -> None:
    """|R (I - gamma L H)|^2 has the mean (1 - gamma L (2 - gamma L) r / n) |R|^2, since H H = H."""
    steps = horizon(rank)
    problem, excess, _ = runs(ISOTROPIC, rank, steps, factor=0.5)
    smoothness = float(problem.smoothness[0])
    low, high = interval(excess[steps] / excess[0])
    assert low <= (1 - 0.5 * 1.5 * rank / INPUTS) ** steps <= high
    assert high < rac_contraction(0.5 / smoothness, smoothness, rank, INPUTS) ** steps


@pytest.mark.parametrize("factor", [1.0, 0.3])
@pytest.mark.parametrize("rank", RANKS)
def test_under_the_pl_inequality_the_mean_gap_is_under_the_bound_at_every_step(rank: int, factor: float) -> None:
    problem, excess, squares = runs(CONDITIONED, rank, horizon(rank), factor)
    smoothness, mu = float(problem.smoothness[0]), float(problem.strong_convexity[0])
    assert mu < 0.3 * smoothness
    assert (squares >= 2 * mu * excess * (1 - 1e-9)).all()  # the inequality itself
    contraction = rac_contraction(factor / smoothness, mu, rank, INPUTS)
    for step in range(1, len(excess)):
        assert interval(excess[step] / excess[0])[1] <= contraction**step


@pytest.mark.parametrize("rank", RANKS)
def test_without_convexity_the_mean_square_gradient_is_under_the_bound_at_every_T(rank: int) -> None:
    """Of an iterate drawn evenly from W_0, ..., W_{T-1}: Theorem 5.3."""
    problem, excess, squares = runs(ROBUST, rank, 40)
    step_size = 1 / float(problem.smoothness[0])
    for steps in range(1, 41):
        bound = rac_mean_square_gradient(steps, float(excess[0, 0]), step_size, rank, INPUTS)
        assert interval(squares[:steps].mean(0))[1] <= bound


@pytest.mark.parametrize("rank", [1, 4, 8])
def test_that_bound_is_reached_up_to_what_is_left_of_the_gap_on_an_isotropic_quadratic(rank: int) -> None:
    """There |G|^2 = 2 L h, and the sum of the h_t telescopes: the mean is (1 - (1 - r/n)^T) times the bound."""
    steps = horizon(rank)
    problem, excess, squares = runs(ISOTROPIC, rank, steps)
    bound = rac_mean_square_gradient(steps, float(excess[0, 0]), 1 / float(problem.smoothness[0]), rank, INPUTS)
    low, high = interval(squares[:steps].mean(0) / bound)
    assert low <= 1 - (1 - rank / INPUTS) ** steps <= high
    assert high <= 1


def test_a_share_outside_the_space_is_refused() -> None:
    for rank in (0, INPUTS + 1):
        with pytest.raises(ColaError, match=f"rank {rank}"):
            rac_share(rank, INPUTS)
