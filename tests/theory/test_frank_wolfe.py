"""Frank-Wolfe under the bounds of Jaggi, Lacoste-Julien and Hazan-Luo. Page: theory/frank-wolfe-convex.md."""

import numpy as np
import pytest
import torch

from colarepro.theory.bounds import hazan_luo_excess, jaggi_excess, lacoste_julien_least_gap, nuclear_ball_diameter
from colarepro.theory.method import minimize
from colarepro.theory.methods import FrankWolfe
from colarepro.theory.problem import ProblemSpec
from colarepro.theory.problems import FactorizationSpec, RegressionSpec, RobustSpec
from colarepro.theory.spectral import nuclear_norm

SPECS = (
    RegressionSpec(outputs=5, inputs=6, rank=2, isotropic=True, test_samples=1),
    FactorizationSpec(rows=5, columns=6, rank=2),
)
ROBUST = RobustSpec(outputs=4, inputs=5, samples=40, rank=2, test_samples=1)
SEEDS = [1, 2]
LONG = 150


@pytest.mark.parametrize("spec", SPECS, ids=("regression", "factorization"))
@pytest.mark.parametrize("share", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("rule", ["open-loop", "short", "exact", "adaptive"])
def test_excess_is_under_jaggis_bound_and_under_the_gap_at_every_iterate(
    spec: RegressionSpec, share: float, rule: str
) -> None:
    """Without noise every optimum has the nuclear norm of the shift: inside, on and outside the ball."""
    problem, radius = spec.draw(SEEDS), spec.nuclear_norm / share
    best = problem.best_in_ball(radius)
    assert best is not None
    run = minimize(problem, FrankWolfe(radius=radius, rule=rule), steps=LONG, radius=radius)
    excess = np.array(run.trace.loss) - best.value.numpy()
    bound = [
        [jaggi_excess(step, float(smoothness), nuclear_ball_diameter(radius)) for smoothness in problem.smoothness]
        for step in range(1, LONG + 1)
    ]
    assert (excess >= -1e-12).all()
    assert (excess[1:] <= bound).all()
    assert (excess <= np.array(run.trace.gap) + 1e-12).all()
    assert float(nuclear_norm(run.weight - problem.start).max()) <= radius * (1 + 1e-9)
    assert run.trace.lmo_calls[-1] == run.trace.svds[-1] == run.trace.gradients[-1] == LONG
    if rule == "open-loop":  # faster than the bound's -1, and tested on that side only: the bound is from above
        steps = np.arange(40, LONG + 1)
        assert (np.polyfit(np.log(steps), np.log(np.maximum(excess[40:], 1e-30)), 1)[0] < -1).all()


@pytest.mark.parametrize("share", [0.05, 0.3, 0.6])
@pytest.mark.parametrize("spec", [*SPECS, ROBUST], ids=("regression", "factorization", "robust"))
def test_the_least_gap_is_under_lacoste_juliens_bound_at_every_iterate(spec: ProblemSpec, share: float) -> None:
    """Theorem 1 with the step min(gap / C, 1), C = L D^2; no convexity is needed."""
    problem = spec.draw(SEEDS)
    radius = share * spec.nuclear_norm  # type: ignore[attr-defined]
    run = minimize(problem, FrankWolfe(radius=radius, rule="nonconvex"), steps=LONG, radius=radius)
    gaps, diameter = np.array(run.trace.gap), nuclear_ball_diameter(radius)
    assert (gaps >= -1e-12).all()
    assert (np.diff(np.array(run.trace.loss), axis=0) <= 1e-12).all()
    least = np.minimum.accumulate(gaps)
    for seed in range(len(SEEDS)):
        start, smoothness = float(run.trace.excess[0][seed]), float(problem.smoothness[seed])
        bound = [lacoste_julien_least_gap(step, start, smoothness, diameter) for step in range(LONG + 1)]
        assert (least[:, seed] <= bound).all()
        assert (least[:, seed] / bound).max() > 0.01  # the bound is not far from everything


def test_the_robust_path_of_that_test_is_not_convex() -> None:
    """The loss bends down between the start and the end, so that no convex theorem covers the run."""
    problem, radius = ROBUST.draw(SEEDS), 3 * ROBUST.nuclear_norm
    run = minimize(problem, FrankWolfe(radius=radius, rule="nonconvex"), steps=LONG, every=LONG)
    line = torch.linspace(0, 1, 101, dtype=torch.float64)
    losses = torch.stack([problem.loss(problem.start + share * (run.weight - problem.start)) for share in line])
    assert bool((losses.diff(n=2, dim=0).amin(0) < -1e-6).all())


HAZAN_LUO = RegressionSpec(
    outputs=4, inputs=5, samples=25_600, rank=1, size=1.0, noise=2.0, isotropic=True, test_samples=1
)


def stochastic(batch: int, growing: bool, steps: int, seeds: int) -> tuple[np.ndarray, np.ndarray]:
    """One regression, many streams: the mean excess after 1, 2, ... steps over Hazan and Luo's bound, and the mean
    square error of the gradients that these steps used over (L D / (step + 1))^2, what the theorem allows."""
    radius = 1.0
    problem = HAZAN_LUO.draw([0]).take([0] * seeds)
    best = problem.best_in_ball(radius)
    assert best is not None
    method = FrankWolfe(radius=radius, batch=batch, growing=growing)
    state = method.init(problem, steps, range(seeds))
    excess, errors = [], []
    for _ in range(steps):
        gradient = problem.gradient(method.postprocess(problem, state))
        state = method.step(problem, state)
        assert state.asked is not None
        errors.append(float((state.asked - gradient).square().sum((1, 2)).mean()))
        excess.append(float((problem.loss(method.postprocess(problem, state)) - best.value).mean()))
    smoothness, diameter = float(problem.smoothness[0]), nuclear_ball_diameter(radius)
    bound = np.array([hazan_luo_excess(step, smoothness, diameter) for step in range(1, steps + 1)])
    allowed = (smoothness * diameter / np.arange(2, steps + 2)) ** 2
    return np.array(excess) / bound, np.array(errors) / allowed


def test_mean_excess_is_under_hazan_and_luos_bound_while_the_batches_grow() -> None:
    excess, errors = stochastic(batch=100, growing=True, steps=25, seeds=30)
    assert (errors <= 1).all()  # the theorem's condition, as measured
    assert (errors[:15] > 0.1).all()  # it is the noise that the bound speaks of
    assert (errors[16:] == 0).all()  # from 100 * 17^2 samples on, it is all of them
    assert (excess <= 1).all()


def test_a_batch_of_one_breaks_the_condition_and_stalls_above_that_bound() -> None:
    excess, errors = stochastic(batch=1, growing=False, steps=300, seeds=30)
    assert (errors > 50).all()
    assert errors[-1] > 1000 * errors[0]
    assert (excess[100:] > 2).all()
    rate = np.polyfit(np.log(np.arange(100, 300)), np.log(excess[100:]), 1)[0]
    assert rate > 0.9  # over a bound that falls as 1 / t


def test_one_step_of_the_open_loop_lands_on_the_atom() -> None:
    problem = SPECS[1].draw([0, 1])
    run = minimize(problem, FrankWolfe(radius=2.0), steps=1, radius=2.0)
    assert np.array(run.trace.rank).tolist() == [[0, 0], [1, 1]]
    assert nuclear_norm(run.weight - problem.start).tolist() == pytest.approx([2.0, 2.0])


def test_an_approximate_oracle_stays_close_to_the_exact_one() -> None:
    problem = FactorizationSpec(rows=30, columns=25, rank=3).draw([0, 1])
    dense, lanczos = (
        minimize(problem, FrankWolfe(radius=30.0, tolerance=tolerance), steps=50, every=50)
        for tolerance in (0.0, 1e-12)
    )
    assert float((dense.weight - lanczos.weight).abs().max()) < 1e-6
    assert (dense.trace.svds[-1], lanczos.trace.svds[-1]) == (50, 0)
    assert lanczos.trace.flops[-1] > 0
