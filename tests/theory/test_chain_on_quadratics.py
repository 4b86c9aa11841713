"""What a chain does on a quadratic. Page: theory/chain-on-quadratics.md."""

import pytest
import torch

from colarepro.theory.method import minimize
from colarepro.theory.methods import Cola, Lora
from colarepro.theory.problem import Problem
from colarepro.theory.problems import Counterexample, LowRankRegression, MatrixFactorization
from colarepro.theory.spectral import truncate


def regression(start: torch.Tensor, isotropic: bool) -> LowRankRegression:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(40, 6, dtype=torch.float64, generator=generator)
    inputs = inputs * torch.tensor([3.0, 2.0, 1.5, 1.0, 0.5, 0.3], dtype=torch.float64)
    if isotropic:
        inputs = 40**0.5 * torch.linalg.qr(inputs).Q
    targets = torch.randn(40, 5, dtype=torch.float64, generator=generator)
    return LowRankRegression(inputs, targets, start, inputs, targets)


def ideal_chain(isotropic: bool, links: int, rank: int) -> list[torch.Tensor]:
    """The weight after each link, if every link finds the best update of its rank."""
    weights = [torch.zeros(5, 6, dtype=torch.float64)]
    for _ in range(links):
        weights.append(regression(weights[-1], isotropic).best_at_rank(rank).weight)
    return weights


@pytest.mark.parametrize("rank", [1, 2])
def test_ideal_links_on_an_isotropic_design_are_a_truncated_svd(rank: int) -> None:
    optimum = regression(torch.zeros(5, 6, dtype=torch.float64), True).best_at_rank(5).weight
    for links, weight in enumerate(ideal_chain(True, 5 // rank, rank)):
        torch.testing.assert_close(weight, truncate(optimum, links * rank), atol=1e-10, rtol=0)


def test_ideal_links_are_the_best_of_their_summed_rank_on_any_design() -> None:
    """Whitening turns every design into the isotropic one, so the greedy chain loses nothing on either."""
    problem = regression(torch.zeros(5, 6, dtype=torch.float64), False)
    for links, weight in enumerate(ideal_chain(False, 4, 1)[1:], start=1):
        torch.testing.assert_close(weight, problem.best_at_rank(links).weight, atol=1e-9, rtol=0)


def test_two_long_links_miss_the_best_of_rank_two_on_a_general_quadratic() -> None:
    """On RAC-LoRA's counterexample, whose Hessian mixes rows and columns, greedy links are not optimal."""
    problem = Counterexample()
    run = minimize(problem, Cola(length=2, draw="gaussian"), steps=4000, every=4000)
    assert run.trace.rank[-1] == 2  # the optimum itself has rank 2
    assert run.trace.excess[-1] > 1e-3


def test_long_links_through_the_chain_approach_the_truncated_svd() -> None:
    problem = regression(torch.zeros(5, 6, dtype=torch.float64), True)
    optimum = problem.best_at_rank(5).weight
    run = minimize(problem, Cola(length=3), steps=3 * 1500, every=1500)
    for links, value in enumerate(run.trace.loss):
        assert value == pytest.approx(problem.loss(truncate(optimum, links)), abs=1e-6)


def stalled(method: Cola, seed: int) -> Problem:
    """A start whose gradient vanishes on the rows of the first link's A."""
    generator = torch.Generator().manual_seed(1)
    start = torch.zeros(5, 6, dtype=torch.float64)
    matrix = torch.randn(5, 6, dtype=torch.float64, generator=generator)
    a = method.init(MatrixFactorization(matrix, start, matrix), 200, seed).factors[0].detach()
    matrix = matrix - matrix @ torch.linalg.pinv(a) @ a
    return MatrixFactorization(matrix, start, matrix)


def test_short_links_with_the_same_A_are_stuck_where_the_gradient_vanishes_on_its_rows() -> None:
    same, fresh = Cola(length=40, initialization="same"), Cola(length=40)
    problem = stalled(same, seed=3)
    assert problem.excess(problem.start) > 0.1
    run = minimize(problem, same, steps=200, seed=3, every=200)
    assert float((run.weight - problem.start).norm()) < 1e-12
    # The first link of a fresh chain is stuck too; the second one, with another A, is not.
    run = minimize(problem, fresh, steps=200, seed=3, every=5)
    assert run.trace.excess[1] == pytest.approx(run.trace.excess[0])
    assert run.trace.excess[-1] < 0.5 * run.trace.excess[0]


def test_that_point_is_a_saddle_which_a_long_link_leaves_by_rounding_alone() -> None:
    problem = stalled(Cola(length=4), seed=3)
    run = minimize(problem, Lora(), steps=400, seed=3, every=10)
    assert run.trace.update_norm[1] < 1e-10
    best = problem.best_at_rank(1)
    assert best is not None
    assert problem.loss(run.weight) == pytest.approx(best.value, rel=1e-3)


def test_short_links_with_the_same_A_drive_the_gradient_to_zero_on_its_rows_only() -> None:
    generator = torch.Generator().manual_seed(2)
    matrix = torch.randn(5, 6, dtype=torch.float64, generator=generator)
    problem = MatrixFactorization(matrix, torch.zeros_like(matrix), matrix)
    method = Cola(length=600, initialization="same")
    a = method.init(problem, 600, 0).factors[0].detach()
    gradient = problem.gradient(minimize(problem, method, steps=600, every=600).weight)
    assert float((gradient @ a.T).norm()) < 1e-6 * float(problem.gradient(problem.start).norm())
    assert float(gradient.norm()) > 0.5 * float(problem.gradient(problem.start).norm())
    fresh = minimize(problem, Cola(length=600), steps=600, every=600).weight
    assert float(problem.gradient(fresh).norm()) < 0.01 * float(gradient.norm())
