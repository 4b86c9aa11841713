"""Methods on problems: COLA through `colarepro.chain` against NumPy, and the runs' end. Page: theory/README.md."""

import math
from typing import Any

import numpy as np
import pytest
import torch

from colarepro.errors import ColaError
from colarepro.theory.method import Method, minimize
from colarepro.theory.methods import AdamW, Cola, FrankWolfe, Full, GradientDescent, Lora
from colarepro.theory.problem import Problem
from colarepro.theory.problems import (
    CounterexampleSpec,
    FactorizationSpec,
    LowRankRegression,
    MatrixFactorization,
    RegressionSpec,
)
from colarepro.theory.trace import Status

METHODS: tuple[Method[Any], ...] = (
    Full(),
    Full(AdamW(0.05)),
    Lora(rank=2),
    Lora(rank=2, descent=AdamW(0.05)),
    Cola(length=3),
    Cola(length=3, rank=2, initialization="same", draw="gaussian"),
    FrankWolfe(radius=5.0),
    FrankWolfe(radius=5.0, rule="short", tolerance=1e-3),
)
PROBLEMS = (
    RegressionSpec(outputs=5, inputs=6, rank=2, condition=3.0, noise=0.1),
    FactorizationSpec(rows=5, columns=6, rank=2),
    FactorizationSpec(rows=5, columns=6, rank=2, observed=0.6),
    CounterexampleSpec(),
)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: f"{method.name} {getattr(method, 'rule', '')}")
@pytest.mark.parametrize("spec", PROBLEMS)
def test_every_method_improves_every_problem_at_one_gradient_a_step(method: Method[Any], spec: RegressionSpec) -> None:
    problem = spec.draw(0)
    calls = 0
    gradient = problem.gradient

    def counted(weight: torch.Tensor) -> torch.Tensor:
        nonlocal calls
        calls += 1
        return gradient(weight)

    problem.gradient = counted  # type: ignore[method-assign]
    run = minimize(problem, method, steps=60, every=60, radius=5.0)
    assert run.status is Status.DONE
    assert calls - len(run.trace.step) == 60 == run.trace.gradients[-1]  # each measurement takes one of its own
    assert run.weight.dtype == torch.float64
    assert run.trace.loss[0] == pytest.approx(problem.loss(problem.start))
    assert run.trace.excess[-1] < run.trace.excess[0] / 1.3
    assert run.trace.rank[-1] <= {"lora": 2, "cola": 6}.get(method.name, 5)
    again = minimize(problem, method, steps=60, every=60)
    assert torch.equal(again.weight, run.weight)


def test_gradient_descent_is_gradient_descent() -> None:
    problem = PROBLEMS[0].draw(0)
    weight = problem.start.clone()
    for _ in range(20):
        weight = weight - 0.5 / problem.smoothness * problem.gradient(weight)
    torch.testing.assert_close(minimize(problem, Full(GradientDescent(0.5)), steps=20).weight, weight)


def data() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.standard_normal((20, 6)), rng.standard_normal((20, 5)), rng.standard_normal((5, 6))


@pytest.mark.parametrize("descent", [GradientDescent(0.1, "problem"), GradientDescent(), AdamW(0.02)])
@pytest.mark.parametrize("initialization", ["fresh", "same"])
def test_cola_through_the_chain_equals_numpy(descent: GradientDescent | AdamW, initialization: str) -> None:
    """The same draws of A; everything else by hand: loss, gradients, optimizer with its reset, merge."""
    x, y, start = data()
    problem = LowRankRegression(*map(torch.from_numpy, (x, y, start, x, y)))
    method = Cola(length=4, rank=2, descent=descent, initialization=initialization)  # type: ignore[arg-type]
    steps, knots = 40, (10, 20, 30)
    state = method.init(problem, steps, seed=7)
    draws = []
    for index in range(steps):
        if index in (0, *knots):
            draws.append(state.factors[0].detach().numpy().copy())
        state = method.step(problem, state)

    merged, smoothness = start.copy(), np.linalg.eigvalsh(x.T @ x / len(x))[-1]
    for draw in draws:
        a, b = draw.copy(), np.zeros((5, 2))
        moments = [np.zeros_like(a), np.zeros_like(b), np.zeros_like(a), np.zeros_like(b)]
        for count in range(1, 11):
            g = (x @ (merged + b @ a).T - y).T @ x / len(x)
            gradients = (b.T @ g, g @ a.T)
            if isinstance(descent, AdamW):
                updates = []
                for i, gradient in enumerate(gradients):
                    moments[i] = 0.9 * moments[i] + 0.1 * gradient
                    moments[i + 2] = 0.999 * moments[i + 2] + 0.001 * gradient**2
                    spread = np.sqrt(moments[i + 2] / (1 - 0.999**count)) + 1e-8
                    updates.append(descent.learning_rate * moments[i] / (1 - 0.9**count) / spread)
            else:
                own = smoothness
                if descent.smoothness == "local":
                    own = smoothness * (np.linalg.norm(a, 2) ** 2 + np.linalg.norm(b, 2) ** 2) + np.linalg.norm(g)
                updates = [descent.factor / own * gradient for gradient in gradients]
            a, b = a - updates[0], b - updates[1]
        merged = merged + b @ a
    np.testing.assert_allclose(method.postprocess(problem, state).numpy(), merged, rtol=1e-9, atol=1e-10)
    assert state.chain is not None
    np.testing.assert_allclose(state.chain.delta("linear").numpy(), merged - start, rtol=1e-9, atol=1e-10)
    same = [np.array_equal(draws[0], draw) for draw in draws[1:]]
    assert all(same) if initialization == "same" else not any(same)


def test_a_chain_of_one_link_is_lora() -> None:
    problem = PROBLEMS[0].draw(0)
    one, plain = (minimize(problem, method, steps=50, seed=3).weight for method in (Cola(length=1), Lora()))
    assert torch.equal(one, plain)


def test_the_local_smoothness_bounds_the_hessian_of_the_factors() -> None:
    """The largest eigenvalue of the Hessian of (A, B) -> loss(start + B A), by autograd, at random points."""
    problem = PROBLEMS[0].draw(0)
    optimum = problem.best_at_rank(5)
    assert optimum is not None
    root = torch.linalg.cholesky(torch.stack([_hessian_row(problem, i) for i in range(6)]))
    for seed in range(20):
        generator = torch.Generator().manual_seed(seed)
        a = torch.randn(2, 6, dtype=torch.float64, generator=generator)
        b = torch.randn(5, 2, dtype=torch.float64, generator=generator)

        def loss(flat: torch.Tensor) -> torch.Tensor:
            update = flat[12:].reshape(5, 2) @ flat[:12].reshape(2, 6)
            return ((problem.start + update - optimum.weight) @ root).square().sum() / 2

        hessian = torch.autograd.functional.hessian(loss, torch.cat([a.flatten(), b.flatten()]))
        method = Lora(rank=2)
        state = method.init(problem, 1, 0)
        for factor, value in zip(state.factors, (a, b), strict=True):
            factor.data.copy_(value)
        method.step(problem, state)
        stated = 1 / state.optimizer.param_groups[0]["lr"]
        assert stated >= float(torch.linalg.eigvalsh(hessian)[-1]) * (1 - 1e-9)


def _hessian_row(problem: Problem, index: int) -> torch.Tensor:
    unit = torch.zeros_like(problem.start)
    unit[0, index] = 1
    return (problem.gradient(problem.start + unit) - problem.gradient(problem.start))[0]


@pytest.mark.parametrize(("factor", "seeds"), [(0.1, 3), (0.01, 1)])
def test_on_the_counterexample_only_a_chain_with_fresh_A_reaches_the_optimum(factor: float, seeds: int) -> None:
    """RAC-LoRA's 3 x 3 quadratic, rank 1, Gaussian A, links of ten steps: theory/chain-on-quadratics.md."""
    problem = CounterexampleSpec().draw(0)
    steps = round(100 / factor)
    options: dict[str, Any] = {"draw": "gaussian", "descent": GradientDescent(factor, "problem")}
    for seed in range(seeds):
        lora, fresh, same = (
            minimize(problem, method, steps=steps, seed=seed, every=steps).trace.excess[-1]
            for method in (
                Lora(**options),
                Cola(length=steps // 10, **options),
                Cola(length=steps // 10, initialization="same", **options),
            )
        )
        assert fresh < 1e-5
        assert 0.2888 < lora < 0.45  # 0.2889 is the best of rank 1
        assert same > 0.25


def test_at_a_step_that_is_too_long_the_chain_diverges_with_its_trace_kept() -> None:
    problem = CounterexampleSpec().draw(0)
    steps = 1000
    method = Cola(length=steps // 10, draw="gaussian", descent=GradientDescent(1.0, "problem"))
    run = minimize(problem, method, steps=steps, every=7)
    assert run.status is Status.DIVERGED
    assert 0 < run.trace.step[-1] < steps
    assert run.trace.step[:3] == [0, 7, 14]
    assert run.trace.gradients == run.trace.step
    assert math.isfinite(run.trace.loss[0])


@pytest.mark.parametrize(
    "method",
    [Full(AdamW(1e300)), Lora(descent=AdamW(1e200)), Cola(length=50, descent=AdamW(1e200)), Full(GradientDescent(3e9))],
)
def test_overflow_is_a_status_and_never_a_warning(method: Method[Any]) -> None:
    run = minimize(PROBLEMS[0].draw(0), method, steps=50, radius=1.0)
    assert run.status is Status.DIVERGED
    assert run.trace.step[-1] < 50


def test_divergence_in_the_very_last_step_is_seen() -> None:
    run = minimize(PROBLEMS[0].draw(0), Full(AdamW(1e300)), steps=1)
    assert run.status is Status.DIVERGED
    assert run.trace.step == [0, 1]
    assert run.trace.loss[-1] == math.inf


def test_a_run_ends_early_by_gap_or_by_time() -> None:
    problem = PROBLEMS[1].draw(0)
    run = minimize(problem, FrankWolfe(radius=3.0), steps=1000, radius=3.0, gap_tolerance=0.05)
    assert run.status is Status.CONVERGED
    assert run.trace.gap[-1] <= 0.05 < min(run.trace.gap[:-1])
    late = minimize(problem, Full(), steps=1000, seconds=0.0)
    assert late.status is Status.TIMED_OUT
    assert late.trace.step == [0]


def test_the_trace_measures_what_it_says() -> None:
    matrix = torch.diag(torch.tensor([3.0, 2.0, 0.0], dtype=torch.float64))
    problem = MatrixFactorization(matrix, torch.zeros_like(matrix), matrix)
    run = minimize(problem, Full(), steps=1, radius=2.0)
    assert run.trace.step == [0, 1]
    assert run.trace.loss == pytest.approx([13 / 18, 0], abs=1e-15)
    assert run.trace.gradient_norm == pytest.approx([math.sqrt(13) / 9, 0], abs=1e-15)
    assert run.trace.gap == pytest.approx([2 * 3 / 9, 0], abs=1e-12)
    assert run.trace.rank == [0, 2]
    assert run.trace.update_norm == pytest.approx([0, math.sqrt(13)])


def test_bad_options_are_refused_before_any_step() -> None:
    problem = PROBLEMS[0].draw(0)
    cases: list[tuple[Any, str]] = [
        (lambda: minimize(problem, Lora(rank=0), steps=5), "Rank 0"),
        (lambda: minimize(problem, Cola(rank=6), steps=5), "Rank 6"),
        (lambda: minimize(problem, Lora(draw="cauchy"), steps=5), "Unknown draw"),
        (lambda: minimize(problem, Cola(length=9), steps=5), "link"),
        (lambda: minimize(problem, FrankWolfe(radius=0.0), steps=5), "Radius"),
        (lambda: minimize(problem, FrankWolfe(radius=1.0, rule="wolfe"), steps=5), "Unknown step rule"),
        (lambda: minimize(problem, Full(), steps=0), "0 steps"),
        (lambda: minimize(problem, Full(), steps=5, radius=-1.0), "Radius"),
        (lambda: minimize(problem, Full(), steps=5, gap_tolerance=0.1), "radius"),
        (lambda: GradientDescent(0.0), "step factor"),
        (lambda: GradientDescent(1.0, "nobody's"), "Unknown smoothness"),
        (lambda: AdamW(-1.0), "learning rate"),
    ]
    problem.gradient = lambda weight: pytest.fail("a step was taken")  # type: ignore[method-assign]
    for make, words in cases:
        with pytest.raises(ColaError, match=words):
            make()
