"""Jaggi's bound at every iterate. Page: theory/frank-wolfe-convex.md."""

import numpy as np
import pytest

from colarepro.theory.bounds import jaggi_excess, nuclear_ball_diameter
from colarepro.theory.method import minimize
from colarepro.theory.methods import FrankWolfe
from colarepro.theory.problems import FactorizationSpec, RegressionSpec
from colarepro.theory.spectral import nuclear_norm

SPECS = (
    RegressionSpec(outputs=5, inputs=6, rank=2, isotropic=True, noise=0.2),
    FactorizationSpec(rows=5, columns=6, rank=2, noise=0.2),
)


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("share", [0.4, 1.0, 1.7])
@pytest.mark.parametrize("rule", ["open-loop", "short", "exact"])
def test_excess_is_under_the_bound_and_under_the_gap_at_every_iterate(
    spec: RegressionSpec, share: float, rule: str
) -> None:
    problem = spec.draw(1)
    optimum = problem.best_at_rank(5)
    assert optimum is not None
    radius = share * nuclear_norm(optimum.weight - problem.start)
    best = problem.best_in_ball(radius)
    assert best is not None
    run = minimize(problem, FrankWolfe(radius=radius, rule=rule), steps=400, radius=radius)
    excess = np.array(run.trace.loss) - best.value
    bound = [jaggi_excess(step, problem.smoothness, nuclear_ball_diameter(radius)) for step in range(1, 401)]
    assert (excess >= -1e-12).all()
    assert (excess[1:] <= bound).all()
    assert (excess <= np.array(run.trace.gap) + 1e-12).all()
    assert nuclear_norm(run.weight - problem.start) <= radius * (1 + 1e-9)
    assert run.trace.lmo_calls[-1] == run.trace.gradients[-1] == 400
    if rule == "open-loop":  # faster than the bound's -1, and tested on that side only: the bound is from above
        steps = np.arange(40, 401)
        assert np.polyfit(np.log(steps), np.log(np.maximum(excess[40:], 1e-30)), 1)[0] < -1


def test_one_step_of_the_open_loop_lands_on_the_atom() -> None:
    problem = SPECS[1].draw(0)
    run = minimize(problem, FrankWolfe(radius=2.0), steps=1, radius=2.0)
    assert run.trace.rank == [0, 1]
    assert nuclear_norm(run.weight - problem.start) == pytest.approx(2.0)


def test_a_loose_oracle_stays_close_to_the_exact_one() -> None:
    problem = FactorizationSpec(rows=30, columns=25, rank=3).draw(0)
    dense, lanczos = (
        minimize(problem, FrankWolfe(radius=30.0, tolerance=tolerance), steps=50, every=50).weight
        for tolerance in (0.0, 1e-12)
    )
    assert float((dense - lanczos).abs().max()) < 1e-6
