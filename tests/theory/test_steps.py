"""The step rules. Pages: theory/frank-wolfe-convex.md, theory/cola-theorem-4-1.md."""

import dataclasses
import math

import numpy as np
import pytest

from colarepro.errors import ColaError
from colarepro.theory.lmo import nuclear_ball_lmo
from colarepro.theory.problems import RegressionSpec
from colarepro.theory.steps import STEP_RULES, Situation, step_rule


def situation() -> Situation:
    return Situation(
        index=3,
        steps=100,
        gap=2.0,
        squared_length=4.0,
        smoothness=3.0,
        diameter=5.0,
        start_excess=6.0,
        curvature=lambda: 8.0,
    )


def test_rules_are_the_formulas_that_they_name() -> None:
    expected = {
        "open-loop": 2 / 5,
        "fixed": math.sqrt(6 / (3 * 100)) / 5,
        "fixed-best": math.sqrt(12 / (3 * 100)) / 5,
        "short": 2 / 12,
        "exact": 2 / 8,
    }
    assert {name: step_rule(name)(situation()) for name in STEP_RULES} == pytest.approx(expected)


def test_every_rule_stays_in_the_segment() -> None:
    for changes in ({"gap": 1e9, "start_excess": 1e9, "index": 0}, {"gap": -1e-18}, {"gap": 0.0}):
        for name in STEP_RULES:
            assert 0 <= step_rule(name)(dataclasses.replace(situation(), **changes)) <= 1
    # A loss that is linear along the segment is least at its end.
    assert step_rule("exact")(dataclasses.replace(situation(), curvature=lambda: 0.0)) == 1


def test_exact_is_the_best_step_on_the_segment_and_short_never_raises_the_loss() -> None:
    problem = RegressionSpec(outputs=4, inputs=5, rank=2, condition=10.0).draw(0)
    gradient = problem.gradient(problem.start)
    direction = nuclear_ball_lmo(gradient, 9.0).matrix()
    at = dataclasses.replace(
        situation(),
        gap=-float((gradient * direction).sum()),
        squared_length=float(direction.square().sum()),
        smoothness=problem.smoothness,
        curvature=lambda: problem.curvature(direction),
    )

    def loss(step: float) -> float:
        return problem.loss(problem.start + step * direction)

    best = loss(step_rule("exact")(at))
    assert all(best <= loss(step) + 1e-12 for step in np.linspace(0, 1, 101))
    assert best <= loss(step_rule("short")(at)) < loss(0)


def test_unknown_rule_is_refused() -> None:
    with pytest.raises(ColaError, match="Unknown step rule 'wolfe'; expected one of open-loop"):
        step_rule("wolfe")
