"""The step rules. Pages: theory/frank-wolfe-convex.md, theory/cola-theorem-4-1.md."""

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from colarepro.errors import ColaError
from colarepro.theory.lmo import nuclear_ball_lmo
from colarepro.theory.methods import FrankWolfe
from colarepro.theory.problem import Problem
from colarepro.theory.problems import RegressionSpec
from colarepro.theory.steps import STEP_RULES, Situation, step_rule

SPEC = RegressionSpec(outputs=4, inputs=5, rank=2, condition=10.0)
RADIUS = 9.0


def numbers(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def situation(**changes: Any) -> Situation:
    """Two seeds; along their segments both losses fall by ``-gap t + 4 t^2``."""
    gap = changes.get("gap", numbers(2.0, 3.0))
    plain = Situation(
        index=3,
        steps=numbers(100, 400),
        gap=gap,
        squared_length=numbers(4.0, 1.0),
        smoothness=numbers(3.0, 9.0),
        diameter=5.0,
        start_excess=numbers(6.0, 9.0),
        curvature=lambda: numbers(8.0, 8.0),
        change=lambda step: -gap * step + 4 * step.square(),
        estimate=numbers(1.0, 9.0),
    )
    return dataclasses.replace(plain, **changes)


def test_rules_are_the_formulas_that_they_name() -> None:
    expected = {
        "open-loop": (2 / 5, 2 / 5),
        "fixed": (math.sqrt(6 / (3 * 100)) / 5, math.sqrt(9 / (9 * 400)) / 5),
        "fixed-best": (math.sqrt(12 / (3 * 100)) / 5, math.sqrt(18 / (9 * 400)) / 5),
        "short": (2 / 12, 3 / 9),
        "nonconvex": (2 / 75, 3 / 225),
        "exact": (2 / 8, 3 / 8),
        # 0.9, 1.8, 3.6: the first is not enough for a bend of 8 over a squared length of 4, the second is one;
        # the second seed's 8.1 is enough for 8 over 1.
        "adaptive": (2 / (3.6 * 4), 3 / 8.1),
    }
    assert set(expected) == set(STEP_RULES)
    for name, values in expected.items():
        assert step_rule(name)(situation()).tolist() == pytest.approx(values), name


def test_every_rule_stays_in_the_segment() -> None:
    far: dict[str, Any] = {"gap": numbers(1e9, 1e9), "start_excess": numbers(1e9, 1e9), "index": 0}
    for changes in (far, {"gap": numbers(-1e-18, 0.0)}, {"gap": numbers(0.0, 1e-300)}):
        for name in STEP_RULES:
            step = step_rule(name)(situation(**changes))
            assert bool(((step >= 0) & (step <= 1)).all()), name
    # A loss that is linear along the segment is least at its end.
    assert step_rule("exact")(situation(curvature=lambda: numbers(0.0, 8.0))).tolist() == [1, 3 / 8]


def facing(problem: Problem) -> tuple[Situation, Tensor]:
    """The situation at the start towards the oracle's atom, with the true loss, and the direction there."""
    gradient = problem.gradient(problem.start)
    direction = nuclear_ball_lmo(gradient, RADIUS).matrix()
    at = situation(
        gap=-(gradient * direction).sum((1, 2)),
        squared_length=direction.square().sum((1, 2)),
        smoothness=problem.smoothness,
        diameter=2 * RADIUS,
        curvature=lambda: problem.curvature(direction),
        change=lambda step: loss_at(problem, direction, step) - problem.loss(problem.start),
        estimate=problem.smoothness / 50,
    )
    return at, direction


def loss_at(problem: Problem, direction: Tensor, step: Tensor) -> Tensor:
    return problem.loss(problem.start + step[:, None, None] * direction)


def test_exact_is_the_best_step_on_a_fine_grid() -> None:
    problem = SPEC.draw([0, 1, 2])
    at, direction = facing(problem)
    step = step_rule("exact")(at)
    grid = torch.linspace(0, 1, 2001, dtype=torch.float64)
    losses = torch.stack([loss_at(problem, direction, point.expand(3)) for point in grid])
    assert bool((loss_at(problem, direction, step) <= losses + 1e-12).all())
    np.testing.assert_allclose(grid[losses.argmin(0)].numpy(), step.numpy(), atol=1 / 2000)


def test_short_is_the_best_step_for_the_smoothness_bound_and_lowers_the_loss() -> None:
    problem = SPEC.draw([0, 1, 2])
    at, direction = facing(problem)
    step = step_rule("short")(at)
    grid = torch.linspace(0, 1, 2001, dtype=torch.float64)[:, None]
    bound = -at.gap * grid + at.smoothness * at.squared_length * grid.square() / 2
    np.testing.assert_allclose(grid[bound.argmin(0), 0].numpy(), step.numpy(), atol=1 / 2000)
    change = loss_at(problem, direction, step) - problem.loss(problem.start)
    assert bool((change <= bound.amin(0) + 1e-4).all())
    assert bool((change < 0).all())


@pytest.mark.parametrize("share", [1e-6, 0.1, 1.0, 1.9])
def test_adaptive_decreases_enough_and_never_doubts_twice_the_smoothness(share: float) -> None:
    problem = SPEC.draw([0, 1, 2])
    at, direction = facing(problem)
    at.estimate = share * problem.smoothness
    step = step_rule("adaptive")(at)
    promised = -at.gap * step + at.estimate * at.squared_length * step.square() / 2
    change = loss_at(problem, direction, step) - problem.loss(problem.start)
    assert bool((change <= promised + 1e-9 * at.gap).all())
    assert bool((at.estimate < 2 * problem.smoothness).all())
    torch.testing.assert_close(step, (at.gap / (at.estimate * at.squared_length)).clamp(max=1))
    doublings = torch.log2(at.estimate / (0.9 * share * problem.smoothness))
    torch.testing.assert_close(doublings, doublings.round(), rtol=0, atol=1e-9)
    # One doubling less would not have been enough.
    half = (at.gap / (at.estimate / 2 * at.squared_length)).clamp(max=1)
    less = -at.gap * half + at.estimate / 2 * at.squared_length * half.square() / 2
    unmet = loss_at(problem, direction, half) - problem.loss(problem.start) > less
    assert bool((unmet | (doublings < 0.5)).all())


def test_the_estimate_follows_the_run_and_stays_below_twice_the_smoothness() -> None:
    problem = SPEC.draw([0, 1, 2])
    method = FrankWolfe(radius=RADIUS, rule="adaptive")
    state = method.init(problem, 200, [0, 1, 2])
    seen = []
    for _ in range(200):
        state = method.step(problem, state)
        seen.append(state.estimate / problem.smoothness)
    ratios = torch.stack(seen)
    assert float(ratios.max()) < 2
    assert float(ratios[-50:].mean()) < 0.9  # it profits from the flat directions
    before = torch.cat([torch.ones(1, 3, dtype=torch.float64), ratios[:-1]])
    assert bool((ratios >= 0.9 * before * (1 - 1e-12)).all())


def test_unknown_rule_is_refused() -> None:
    with pytest.raises(ColaError, match="Unknown step rule 'wolfe'; expected one of open-loop"):
        step_rule("wolfe")
