"""How runs end, each seed for itself, and what is refused before one begins. Page: theory/README.md."""

import functools
import math
import time
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from colarepro.errors import ColaError
from colarepro.theory.method import Method, Solution, minimize
from colarepro.theory.methods import (
    AdamW,
    AsymmetricLora,
    BlockFrankWolfe,
    Cola,
    FrankWolfe,
    Full,
    GradientDescent,
    IdealizedCola,
    Lora,
    Pursuit,
    RacLora,
    ReLora,
    Restart,
)
from colarepro.theory.methods.chained_cola import ChainedCola
from colarepro.theory.problem import Problem
from colarepro.theory.problems import FactorizationSpec, MatrixFactorization
from colarepro.theory.trace import Status
from tests.theory.cases import METHODS, RADIUS, REGRESSION, label

RANKED: tuple[type[Any], ...] = (
    *(Lora, AsymmetricLora, Cola, ChainedCola, RacLora, ReLora, Restart, Pursuit),
    *(BlockFrankWolfe, IdealizedCola),
)
STEPS, BAD = 10, 4  # the gradient goes bad in the fifth step, at whose end a chain of two links ties its knot


def spoiled(problem: Problem, value: float, after: int) -> list[int]:
    """From now on, the gradient of the first seed is ``value`` everywhere in every call after the first ``after``."""
    calls = [0]
    gradient, sampled = problem.gradient, problem.sampled_gradient

    def spoil(clean: Tensor) -> Tensor:
        calls[0] += 1
        clean[0] = value if calls[0] > after else clean[0]
        return clean

    problem.gradient = lambda weight: spoil(gradient(weight))  # type: ignore[method-assign]
    problem.sampled_gradient = lambda weight, rows: spoil(sampled(weight, rows))  # type: ignore[method-assign]
    return calls


@functools.cache
def undisturbed(method: Method[Any]) -> tuple[Solution, int]:
    """A run with clean gradients, and how many of them a step takes."""
    problem = REGRESSION.draw([0, 1, 2])
    calls = spoiled(problem, 0.0, after=1_000_000)
    return minimize(problem, method, steps=STEPS, radius=RADIUS), (calls[0] - STEPS - 1) // STEPS


@pytest.mark.parametrize("method", [method for method, _ in METHODS], ids=label)
@pytest.mark.parametrize("value", [math.nan, math.inf, 1e12, 1e200], ids=str)
def test_a_seed_that_diverges_disturbs_no_other(method: Method[Any], value: float) -> None:
    whole, a_step = undisturbed(method)
    problem = REGRESSION.draw([0, 1, 2])
    spoiled(problem, value, after=BAD * a_step + BAD + 1)  # one of each step, and of each measurement
    run = minimize(problem, method, steps=STEPS, radius=RADIUS)
    assert run.status == [Status.DIVERGED, Status.DONE, Status.DONE]
    assert run.ended_at == [BAD, STEPS, STEPS]
    assert run.trace.step == list(range(STEPS + 1))
    near = 1e-9 if getattr(method, "tolerance", 0) else 1e-12
    torch.testing.assert_close(run.weight[1:], whole.weight[1:], rtol=0, atol=near)
    for name in ("loss", "excess", "test_loss", "gradient_norm", "gap", "rank", "update_norm"):
        entries = np.array(getattr(run.trace, name))
        np.testing.assert_allclose(entries[: BAD + 1], np.array(getattr(whole.trace, name))[: BAD + 1], atol=near)
        assert np.isnan(entries[BAD + 1 :, 0]).all()
        assert np.isfinite(entries[:, 1:]).all()
    assert float(problem.loss(run.weight)[0]) == pytest.approx(run.trace.loss[BAD][0])


@pytest.mark.parametrize(
    "method",
    [
        Full(AdamW(1e300)),
        Full(GradientDescent(3e9)),
        Lora(descent=AdamW(1e200)),
        Lora(rank=2, descent=AdamW(1e155)),
        AsymmetricLora(descent=AdamW(1e300)),
        Cola(length=50, descent=AdamW(1e200)),
        Cola(length=2, rank=2, weights="bfloat16", descent=GradientDescent(1e3)),
        ChainedCola(length=50, descent=AdamW(1e200)),
        ChainedCola(length=3, rank=2, descent=AdamW(1e200)),
        RacLora(descent=GradientDescent(1e9)),
        ReLora(length=5, descent=AdamW(1e200)),
        Restart(length=5, rank=2, descent=AdamW(1e200)),
    ],
    ids=label,
)
def test_overflow_is_a_status_and_never_a_warning(method: Method[Any]) -> None:
    run = minimize(REGRESSION.draw([0, 1]), method, steps=50, radius=1.0)
    assert run.status == [Status.DIVERGED] * 2
    assert run.trace.step[-1] == max(run.ended_at) < 50
    assert np.isfinite(run.trace.loss[0]).all()


def test_divergence_in_the_very_last_step_is_seen() -> None:
    run = minimize(REGRESSION.draw([0]), Full(AdamW(1e300)), steps=1)
    assert run.status == [Status.DIVERGED]
    assert run.trace.step == [0, 1]
    assert run.trace.loss[-1].tolist() == [math.inf]


def test_measurements_come_every_so_many_steps_and_at_the_end() -> None:
    run = minimize(REGRESSION.draw([0]), Full(), steps=10, every=4)
    assert run.trace.step == [0, 4, 8, 10]
    assert run.trace.gradients == [0, 4, 8, 10]
    assert all(len(column) == 4 for column in vars(run.trace).values())


def test_every_seed_stops_by_its_own_gap() -> None:
    problem = REGRESSION.draw([0, 1, 2])
    method, tolerance = FrankWolfe(radius=4.0, rule="short"), 0.4
    whole = minimize(problem, method, steps=60, radius=4.0)
    run = minimize(problem, method, steps=60, radius=4.0, gap_tolerance=tolerance)
    gaps = np.array(whole.trace.gap)
    first = [int(np.argmax(gaps[:, seed] <= tolerance)) for seed in range(3)]
    assert len(set(first)) == 3
    assert run.status == [Status.CONVERGED] * 3
    assert run.ended_at == first
    assert run.trace.step[-1] == max(first)
    for seed, step in enumerate(first):
        short = minimize(problem, method, steps=step).weight[seed]
        assert torch.equal(run.weight[seed], short)
        kept = np.array(run.trace.gap)[:, seed]
        np.testing.assert_array_equal(kept[: step + 1], gaps[: step + 1, seed])
        assert np.isnan(kept[step + 1 :]).all()


def test_a_start_without_a_slope_is_no_divergence() -> None:
    """Frank-Wolfe's first open-loop step leaves it for a vertex, whose gradient is infinitely longer."""
    zero = torch.zeros(1, 3, 4, dtype=torch.float64)
    run = minimize(MatrixFactorization(zero, zero, zero), FrankWolfe(radius=1.0), steps=20)
    assert run.status == [Status.DONE]


def test_a_run_stops_when_its_seconds_are_spent_on_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    late = minimize(REGRESSION.draw([0, 1]), Full(), steps=1000, seconds=0.0)
    assert late.status == [Status.TIMED_OUT] * 2
    assert late.trace.step == [0]
    clock = iter(range(1000))
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))  # a step takes a second; nothing else asks
    run = minimize(REGRESSION.draw([0, 1]), Full(), steps=1000, seconds=5.0, every=100)
    assert run.status == [Status.TIMED_OUT] * 2
    assert run.ended_at == [5, 5]
    assert run.trace.step == [0, 5]
    assert run.trace.seconds == [0, 5]


def test_bad_options_are_refused_before_any_step() -> None:
    regression, whole = REGRESSION.draw([0, 1]), FactorizationSpec(rows=5, columns=6).draw([0, 1])
    ball: dict[str, Any] = {"radius": 1.0}
    cases: list[tuple[Any, str]] = [
        *(
            (kind(rank=rank, **(ball if issubclass(kind, FrankWolfe) else {})), f"Rank {rank} was given for a 5 x 6")
            for kind in RANKED
            for rank in (0, 6)
        ),
        *((kind(draw="cauchy"), "Unknown draw 'cauchy'") for kind in (Lora, ChainedCola, RacLora)),
        *((kind(length=9), "chain of 9 links") for kind in (Cola, ChainedCola, RacLora, ReLora, Restart)),
        (Cola(length=0), "chain length is 0"),
        (Cola(weights="int8"), "Unknown weights 'int8'; expected one of float64"),
        (ReLora(prune=1.1), "prune 1.1"),
        (ReLora(prune=-0.1), "prune -0.1"),
        (ReLora(warmup=-1), "warm up for -1"),
        *((FrankWolfe(radius=radius), f"Radius {radius}") for radius in (0.0, -1.0, math.nan, math.inf)),
        *((kind(rule="wolfe", **ball), "Unknown step rule") for kind in (FrankWolfe, BlockFrankWolfe, IdealizedCola)),
        (FrankWolfe(batch=-1, **ball), "batch of -1"),
        (FrankWolfe(tolerance=-0.1, **ball), "tolerance of -0.1"),
        (FrankWolfe(tolerance=math.nan, **ball), "tolerance of nan"),
        *((BlockFrankWolfe(block_step=step, **ball), "block step") for step in (0.0, 1.5)),
        (IdealizedCola(link_steps=0, **ball), "link of 0 steps"),
    ]
    asked: list[tuple[Any, str]] = [
        *((lambda method=method: minimize(regression, method, steps=5), words) for method, words in cases),
        (lambda: minimize(whole, FrankWolfe(batch=3, **ball), steps=5), "no mean over samples"),
        (lambda: minimize(regression, Full(), steps=0), "0 steps"),
        (lambda: minimize(regression, Full(), steps=5, every=0), "every 0"),
        (lambda: minimize(regression, Full(), steps=5, radius=-1.0), "Radius"),
        (lambda: minimize(regression, Full(), steps=5, gap_tolerance=0.1), "radius"),
        (lambda: minimize(regression, Full(), steps=5, seeds=[0]), "1 seeds were given for a problem of 2"),
        (lambda: GradientDescent(0.0), "step factor"),
        (lambda: GradientDescent(math.nan), "step factor"),
        (lambda: GradientDescent(math.inf), "step factor"),
        (lambda: GradientDescent(1.0, "nobody's"), "Unknown smoothness"),
        (lambda: AdamW(-1.0), "learning rate"),
        (lambda: AdamW(math.inf), "learning rate"),
    ]
    for problem in (regression, whole):
        problem.gradient = lambda weight: pytest.fail("a step was taken")  # type: ignore[method-assign]
    for ask, words in asked:
        with pytest.raises(ColaError, match=words):
            ask()


def test_exact_line_search_needs_a_quadratic() -> None:
    problem = REGRESSION.draw([0])
    problem.quadratic = False
    problem.gradient = lambda weight: pytest.fail("a step was taken")  # type: ignore[method-assign]
    for kind in (FrankWolfe, BlockFrankWolfe, IdealizedCola):
        with pytest.raises(ColaError, match="not quadratic"):
            minimize(problem, kind(radius=1.0, rule="exact"), steps=5)
