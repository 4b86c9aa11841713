"""What every problem promises, against autograd of its loss written a second time. Page: theory/README.md."""

import numpy as np
import pytest
import torch
from scipy import optimize
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from colarepro.errors import ColaError
from colarepro.theory.problem import Problem
from tests.theory.problem_cases import CASES, SEEDS, Case, normal

each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def somewhere(problem: Problem, seed: int = 0) -> Tensor:
    return problem.start + normal(100 + seed, *problem.start.shape)


@each_case
def test_losses_and_gradient_agree_with_autograd(case: Case) -> None:
    problem, weight = case.problem, somewhere(case.problem)
    losses, tests, gradients = problem.loss(weight), problem.test_loss(weight), problem.gradient(weight)
    assert losses.shape == tests.shape == problem.best_value.shape == problem.smoothness.shape == (SEEDS,)
    assert losses.dtype == gradients.dtype == torch.float64
    for seed in range(SEEDS):
        leaf = weight[seed].clone().requires_grad_()
        loss = case.train_loss(leaf, seed)
        loss.backward()
        assert leaf.grad is not None
        torch.testing.assert_close(losses[seed], loss.detach(), rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(gradients[seed], leaf.grad, rtol=1e-10, atol=1e-12)
        expected = case.test_loss(weight[seed], *(part[seed] for part in case.test))
        torch.testing.assert_close(tests[seed], expected, rtol=1e-12, atol=1e-12, equal_nan=True)


@each_case
def test_gradient_and_curvature_agree_with_finite_differences(case: Case) -> None:
    problem, step = case.problem, 1e-4
    weight, direction = somewhere(problem), normal(1, *problem.start.shape)
    ahead, behind = problem.loss(weight + step * direction), problem.loss(weight - step * direction)
    slope = (problem.gradient(weight) * direction).sum((1, 2))
    torch.testing.assert_close((ahead - behind) / (2 * step), slope, rtol=1e-5, atol=1e-7)
    bend = (ahead - 2 * problem.loss(weight) + behind) / step**2
    if problem.quadratic:
        torch.testing.assert_close(problem.curvature(direction), bend, rtol=1e-5, atol=1e-6)
    else:
        with pytest.raises(ColaError, match="not quadratic"):
            problem.curvature(direction)


@each_case
def test_sampled_gradients_are_those_of_their_samples(case: Case) -> None:
    problem, weight = case.problem, somewhere(case.problem)
    if not problem.samples:
        with pytest.raises(ColaError, match="no mean over samples"):
            problem.sampled_gradient(weight, torch.zeros(SEEDS, 1, dtype=torch.int64))
        return
    singles = [problem.sampled_gradient(weight, torch.full((SEEDS, 1), row)) for row in range(problem.samples)]
    torch.testing.assert_close(torch.stack(singles).mean(0), problem.gradient(weight), rtol=1e-10, atol=1e-12)
    rows = torch.tensor([[0, 2, 2], [1, 0, 2], [2, 1, 0]])  # with replacement, and other rows for every seed
    sampled = problem.sampled_gradient(weight, rows)
    for seed in range(SEEDS):
        leaf = weight[seed].clone().requires_grad_()
        (gradient,) = torch.autograd.grad(case.train_loss(leaf, seed, rows[seed]), leaf)
        torch.testing.assert_close(sampled[seed], gradient, rtol=1e-10, atol=1e-12)


@each_case
def test_no_weight_is_below_the_best_value_and_an_independent_minimiser_agrees(case: Case) -> None:
    problem = case.problem
    for seed in range(4):
        weight = somewhere(problem, seed)
        excess = problem.excess(weight)
        assert bool((excess >= 0).all())
        torch.testing.assert_close(excess, problem.loss(weight) - problem.best_value, rtol=1e-9, atol=1e-12)
    for seed in range(SEEDS):

        def loss_and_slope(flat: np.ndarray, seed: int = seed) -> tuple[float, np.ndarray]:
            leaf = torch.tensor(flat.reshape(problem.shape), requires_grad=True)
            loss = case.train_loss(leaf, seed)
            loss.backward()
            assert leaf.grad is not None
            return loss.item(), leaf.grad.numpy().ravel()

        found = optimize.minimize(
            loss_and_slope,
            somewhere(problem)[seed].numpy().ravel(),
            jac=True,
            method="BFGS",
            options={"gtol": 1e-9, "maxiter": 2000},
        )
        best = float(problem.best_value[seed])
        assert found.fun >= best - 1e-12
        if case.attained:
            assert found.fun == pytest.approx(best, abs=1e-8)


@each_case
def test_gradient_flops_are_those_of_its_matrix_products(case: Case) -> None:
    with FlopCounterMode(display=False) as counter:
        case.problem.gradient(case.problem.start)
    assert counter.get_total_flops() == SEEDS * case.problem.gradient_flops


@each_case
def test_taking_seeds_takes_their_data(case: Case) -> None:
    problem, weight = case.problem, somewhere(case.problem)
    order = [2, 0, 2]
    taken = problem.take(order)
    assert taken.count == 3
    for name in ("loss", "gradient", "excess", "test_loss"):
        expected = getattr(problem, name)(weight)[order]
        torch.testing.assert_close(
            getattr(taken, name)(weight[order]), expected, rtol=1e-12, atol=1e-14, equal_nan=True
        )
    for name in ("start", "smoothness", "best_value"):
        assert torch.equal(getattr(taken, name), getattr(problem, name)[order])
    if problem.samples:
        rows = torch.tensor([[0, 1], [1, 2], [2, 0]])
        alone = [problem.take([seed]).sampled_gradient(weight[[seed]], rows[[seed]]) for seed in order]
        torch.testing.assert_close(taken.sampled_gradient(weight[order], rows[order]), torch.cat(alone))
