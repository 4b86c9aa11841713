"""Every method on every problem: descent, counters, independence of the seeds. Page: theory/README.md."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from colarepro.theory.method import Method, minimize
from colarepro.theory.methods import (
    AdamW,
    AsymmetricLora,
    Cola,
    FrankWolfe,
    Full,
    GradientDescent,
    IdealizedCola,
    Lora,
    RacLora,
    ReLora,
    Restart,
)
from colarepro.theory.problem import Problem, ProblemSpec
from colarepro.theory.problems import RegressionSpec
from colarepro.theory.trace import Status
from tests.theory.cases import METHODS, PROBLEMS, RADIUS, REGRESSION, label

STEPS = 12


def fits(method: Method[Any], problem: Problem) -> bool:
    """Whether the problem has what the method needs; what it says otherwise is in test_minimize.py."""
    return (problem.samples > 0 or not getattr(method, "batch", 0)) and (
        problem.quadratic or getattr(method, "rule", "") != "exact"
    )


MATRIX = [
    pytest.param(method, limit, spec, id=f"{label(method)} on {label(spec)} {position}")
    for spec, problem in ((spec, spec.draw([0])) for spec in PROBLEMS)
    for position, (method, limit) in enumerate(METHODS)
    if fits(method, problem)
]


def counted(problem: Problem) -> list[float]:
    """From now on, the shares of the samples that the problem's gradients looked at."""
    shares: list[float] = []
    gradient, sampled = problem.gradient, problem.sampled_gradient

    def whole(weight: Tensor) -> Tensor:
        shares.append(1)
        return gradient(weight)

    def some(weight: Tensor, rows: Tensor) -> Tensor:
        shares.append(rows.shape[1] / problem.samples)
        return sampled(weight, rows)

    problem.gradient, problem.sampled_gradient = whole, some  # type: ignore[method-assign]
    return shares


@pytest.mark.parametrize(("method", "limit", "spec"), MATRIX)
def test_every_method_improves_every_problem_and_counts_its_gradients(
    method: Method[Any], limit: int | None, spec: ProblemSpec
) -> None:
    problem = spec.draw([0, 1, 2])
    shares = counted(problem)
    run = minimize(problem, method, steps=STEPS, every=STEPS, radius=RADIUS)
    assert run.status == [Status.DONE] * 3
    assert run.ended_at == [STEPS] * 3
    measured = len(run.trace.step)  # each measurement takes one of its own
    assert run.trace.gradients[-1] == pytest.approx(sum(shares) - measured)
    if not isinstance(method, IdealizedCola) and not getattr(method, "batch", 0):
        assert run.trace.gradients[-1] == STEPS
    assert run.weight.dtype == torch.float64
    assert run.weight.shape == problem.start.shape
    assert run.trace.loss[0].tolist() == pytest.approx(problem.loss(problem.start).tolist())
    assert run.trace.loss[-1].tolist() == problem.loss(run.weight).tolist()
    assert (run.trace.excess[-1] < run.trace.excess[0]).all()
    rank = torch.linalg.matrix_rank(run.weight - problem.start, rtol=1e-9)
    assert run.trace.rank[-1].tolist() == rank.tolist()
    assert int(rank.max()) <= (limit or min(problem.shape))


@pytest.mark.parametrize(("method", "limit", "spec"), MATRIX)
def test_a_seed_runs_as_if_it_were_alone(method: Method[Any], limit: int | None, spec: ProblemSpec) -> None:
    problem = spec.draw([4, 5, 6])
    run = minimize(problem, method, steps=STEPS, every=STEPS, seeds=[4, 5, 6])
    alone = minimize(problem.take([1]), method, steps=STEPS, every=STEPS, seeds=[5])
    # Lanczos goes on until the last seed is within the tolerance, so a batch may only be closer than a seed alone.
    near = 1e-9 if getattr(method, "tolerance", 0) else 1e-12
    torch.testing.assert_close(alone.weight[0], run.weight[1], rtol=0, atol=near)


@pytest.mark.parametrize("method", [method for method, _ in METHODS], ids=label)
def test_runs_are_repeatable_and_the_methods_seed_moves_its_own_draws_only(method: Method[Any]) -> None:
    problem = REGRESSION.draw([0])
    one, again, other = (minimize(problem, method, steps=STEPS, every=STEPS, seeds=[seed]).weight for seed in (1, 1, 2))
    assert torch.equal(one, again)
    draws = hasattr(method, "draw") or getattr(method, "batch", 0) > 0 or isinstance(method, IdealizedCola)
    assert torch.equal(one, other) != draws


def test_gradient_descent_is_gradient_descent() -> None:
    problem = REGRESSION.draw([0, 1])
    weight = problem.start.clone()
    for _ in range(20):
        weight = weight - (0.5 / problem.smoothness)[:, None, None] * problem.gradient(weight)
    torch.testing.assert_close(minimize(problem, Full(GradientDescent(0.5)), steps=20).weight, weight)


def test_the_local_smoothness_bounds_the_hessian_of_the_factors() -> None:
    """The largest eigenvalue of the Hessian of (A, B) -> loss(start + B A), by autograd, at random points."""
    problem = REGRESSION.draw([0])
    rows = []
    for index in range(6):
        unit = torch.zeros_like(problem.start)
        unit[:, 0, index] = 1
        rows.append((problem.gradient(problem.start + unit) - problem.gradient(problem.start))[0, 0])
    root = torch.linalg.cholesky(torch.stack(rows))
    optimum = problem.best_at_rank(5)
    assert optimum is not None
    for seed in range(20):
        generator = torch.Generator().manual_seed(seed)
        a = torch.randn(2, 6, dtype=torch.float64, generator=generator)
        b = torch.randn(5, 2, dtype=torch.float64, generator=generator)

        def loss(flat: Tensor) -> Tensor:
            update = flat[12:].reshape(5, 2) @ flat[:12].reshape(2, 6)
            return ((problem.start[0] + update - optimum.weight[0]) @ root).square().sum() / 2

        hessian = torch.autograd.functional.hessian(loss, torch.cat([a.flatten(), b.flatten()]))
        for method, block in ((Lora(rank=2), hessian), (AsymmetricLora(rank=2), hessian[12:, 12:])):
            state = method.init(problem, 1, [0])
            state.A.data, state.B.data = a[None].clone(), b[None].clone()
            gradient = problem.gradient(problem.start + b @ a) @ a.T
            method.step(problem, state)
            step = (b - state.B.detach()).norm() / gradient.norm()  # of gradient descent on B
            assert 1 / step >= float(torch.linalg.eigvalsh(block)[-1]) * (1 - 1e-9)


FLAT = GradientDescent(0.5, "problem")


@pytest.mark.parametrize(
    "method",
    [
        Full(),
        Full(AdamW(0.01)),
        Lora(rank=3, descent=FLAT),
        Lora(rank=2, descent=AdamW(0.01)),
        AsymmetricLora(rank=3, descent=FLAT),
        RacLora(rank=2, length=1, descent=FLAT),
        Cola(length=1, rank=2, descent=FLAT),
        ReLora(length=1, rank=2, descent=AdamW(0.01)),
        Restart(length=4, rank=2, descent=AdamW(0.01)),
        FrankWolfe(radius=3.0),
    ],
    ids=label,
)
def test_flops_are_what_torch_counts(method: Method[Any]) -> None:
    """Matrix products of steps inside a link, against torch's own counter; an SVD is counted by formula."""
    problem = RegressionSpec(outputs=7, inputs=9, samples=20, rank=2).draw([0, 1, 2])
    state = method.init(problem, 5, [0, 1, 2])
    with FlopCounterMode(display=False) as counter:
        for _ in range(5):
            state = method.step(problem, state)
    svds = state.svds * (14 * 7 * 9 * 7 + 8 * 7**3)
    merges = 0
    if isinstance(method, Restart):  # what a knot hands to the trace, which is no part of the budget
        merges = 3 * 2 * 7 * 9 * 2 * 3
    assert counter.get_total_flops() - merges == 3 * (state.flops - svds)


def test_the_local_step_and_the_knots_cost_little_beside_what_is_counted() -> None:
    """Gram matrices of the factors and their squares, and at a knot one product to merge it and one for the trace."""
    problem = RegressionSpec(outputs=7, inputs=9, samples=20, rank=2).draw([0, 1])
    method, rank = Cola(length=2, rank=2), 2
    state = method.init(problem, 6, [0, 1])
    with FlopCounterMode(display=False) as counter:
        for _ in range(6):
            state = method.step(problem, state)
    grams, knots = 6 * 2 * rank**2 * (7 + 9 + 2 * rank), 2 * 2 * 7 * 9 * rank
    assert counter.get_total_flops() == 2 * (state.flops + grams + knots)
