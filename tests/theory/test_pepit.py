"""PEPit's exact worst case between one instance and Jaggi's bound. Page: theory/frank-wolfe-convex.md."""

import functools

import numpy as np
import pytest
import torch
from PEPit import PEP  # type: ignore[import-untyped]
from PEPit.functions import ConvexIndicatorFunction, SmoothConvexFunction  # type: ignore[import-untyped]
from PEPit.primitive_steps import linear_optimization_step  # type: ignore[import-untyped]

from colarepro.theory.bounds import jaggi_excess, nuclear_ball_diameter
from colarepro.theory.method import minimize
from colarepro.theory.methods import FrankWolfe
from colarepro.theory.problems import MatrixFactorization

STEPS = (2, 3, 4, 5)


@functools.cache
def worst_case(steps: int, solver: str = "CLARABEL") -> float:
    """The largest excess after some open-loop steps over all convex losses with L = 1 and all sets with D = 1."""
    problem = PEP()
    loss = problem.declare_function(SmoothConvexFunction, L=1)
    ball = problem.declare_function(ConvexIndicatorFunction, D=1)
    total = loss + ball
    optimum, x = total.stationary_point(), problem.set_initial_point()
    least = total(optimum)
    ball(x)
    for index in range(steps):
        atom, _, _ = linear_optimization_step(loss.gradient(x), ball)
        x = (1 - 2 / (index + 2)) * x + 2 / (index + 2) * atom
    problem.set_performance_metric(total(x) - least)
    return float(problem.solve(wrapper="cvxpy", solver=solver, verbose=0))


def measured(radius: float) -> np.ndarray:
    """Excess over L D^2 after 0, 1, ... 5 steps, on a target of three equal singular values of 1."""
    target = torch.eye(3, 4, dtype=torch.float64)[None]
    problem = MatrixFactorization(target, torch.zeros_like(target), target)
    best = problem.best_in_ball(radius)
    assert best is not None
    loss = np.array(minimize(problem, FrankWolfe(radius=radius), steps=max(STEPS)).trace.loss)[:, 0]
    return (loss - float(best.value)) / (float(problem.smoothness) * nuclear_ball_diameter(radius) ** 2)


@pytest.mark.parametrize("steps", STEPS)
def test_the_instance_is_under_the_worst_case_and_that_is_under_the_bound(steps: int) -> None:
    worst = worst_case(steps)
    assert worst < jaggi_excess(steps, 1.0, 1.0)
    ratios = [measured(radius)[steps] / worst for radius in (0.5, 2.0, 3.0, 10.0)]
    assert 0.1 < max(ratios) < 1


def test_the_worst_case_is_the_published_one_and_the_same_by_another_solver() -> None:
    assert worst_case(4, "SCS") == pytest.approx(worst_case(4), rel=1e-3)
    ratios = [worst_case(steps) / jaggi_excess(steps, 1.0, 1.0) for steps in STEPS]
    assert 0.4 < min(ratios) <= max(ratios) < 0.7
