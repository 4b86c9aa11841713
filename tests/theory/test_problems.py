"""Problems against autograd, finite differences and independent closed forms. Page: theory/README.md."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from colarepro.errors import ColaError
from colarepro.theory.lmo import nuclear_ball_lmo
from colarepro.theory.problem import Problem
from colarepro.theory.problems import (
    Counterexample,
    CounterexampleSpec,
    FactorizationSpec,
    LowRankRegression,
    MatrixFactorization,
    RegressionSpec,
)
from colarepro.theory.spectral import nuclear_norm

SPECS = (
    RegressionSpec(outputs=5, inputs=7, samples=30, rank=2, condition=9.0, noise=0.3),
    RegressionSpec(outputs=5, inputs=7, samples=4, rank=2, noise=0.3),  # fewer samples than inputs
    RegressionSpec(outputs=5, inputs=7, samples=30, rank=2, noise=0.3, isotropic=True),
    FactorizationSpec(rows=5, columns=7, rank=2, noise=0.3),
    FactorizationSpec(rows=5, columns=7, rank=2, noise=0.3, observed=0.5),
    CounterexampleSpec(),
)


def regression_data(seed: int, samples: int = 30) -> tuple[Tensor, Tensor, Tensor]:
    """Inputs (samples, 7), targets (samples, 5) and a start (5, 7)."""
    generator = torch.Generator().manual_seed(seed)
    return tuple(  # type: ignore[return-value]
        torch.randn(*size, dtype=torch.float64, generator=generator) for size in ((samples, 7), (samples, 5), (5, 7))
    )


def somewhere(problem: Problem, seed: int = 0) -> Tensor:
    return problem.start + torch.randn(
        problem.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)
    )


@pytest.mark.parametrize("spec", SPECS)
def test_gradient_and_curvature_agree_with_finite_differences(spec: RegressionSpec) -> None:
    problem = spec.draw(3)
    weight, direction = somewhere(problem), somewhere(problem, 1) - problem.start
    step = 1e-4
    ahead, behind = problem.loss(weight + step * direction), problem.loss(weight - step * direction)
    slope = float((problem.gradient(weight) * direction).sum())
    assert (ahead - behind) / (2 * step) == pytest.approx(slope, rel=1e-7, abs=1e-9)
    bend = (ahead - 2 * problem.loss(weight) + behind) / step**2
    assert bend == pytest.approx(problem.curvature(direction), rel=1e-5)


def test_regression_agrees_with_autograd_of_the_residual() -> None:
    inputs, targets, start = regression_data(0)
    test_inputs, test_targets, _ = regression_data(1)
    problem = LowRankRegression(inputs, targets, start, test_inputs, test_targets)
    weight = somewhere(problem).requires_grad_()
    loss = (inputs @ weight.T - targets).square().sum() / (2 * len(inputs))
    loss.backward()
    assert weight.grad is not None
    assert problem.loss(weight.detach()) == pytest.approx(loss.item(), rel=1e-12)
    torch.testing.assert_close(problem.gradient(weight.detach()), weight.grad)
    expected = (test_inputs @ weight.detach().T - test_targets).square().sum() / (2 * len(test_inputs))
    assert problem.test_loss(weight.detach()) == pytest.approx(float(expected))


def test_completion_agrees_with_autograd_and_tests_on_the_unseen_entries() -> None:
    _, _, matrix = regression_data(0)
    mask = torch.zeros_like(matrix)
    mask[:, ::2] = 1
    problem = MatrixFactorization(matrix, torch.zeros_like(matrix), 2 * matrix, mask)
    weight = somewhere(problem).requires_grad_()
    loss = (weight - matrix)[mask == 1].square().mean() / 2
    loss.backward()
    assert weight.grad is not None
    torch.testing.assert_close(problem.gradient(weight.detach()), weight.grad)
    unseen = (weight.detach() - 2 * matrix)[mask == 0].square().mean() / 2
    assert problem.test_loss(weight.detach()) == pytest.approx(float(unseen))


@pytest.mark.parametrize("spec", SPECS)
def test_smoothness_is_the_largest_eigenvalue_of_the_hessian(spec: RegressionSpec) -> None:
    problem = spec.draw(3)
    zero = problem.gradient(problem.start)
    columns = []
    for index in range(problem.start.numel()):
        unit = torch.zeros_like(problem.start)
        unit.view(-1)[index] = 1
        columns.append((problem.gradient(problem.start + unit) - zero).flatten())
    assert problem.smoothness == pytest.approx(float(torch.linalg.eigvalsh(torch.stack(columns))[-1]), rel=1e-9)


@pytest.mark.parametrize("spec", SPECS)
def test_best_value_is_where_the_gradient_vanishes(spec: RegressionSpec) -> None:
    problem = spec.draw(3)
    weight = problem.start
    for _ in range(3000):
        weight = weight - problem.gradient(weight) / problem.smoothness
    assert problem.loss(weight) == pytest.approx(problem.best_value, abs=1e-9)
    assert problem.excess(weight) == pytest.approx(0, abs=1e-9)


def test_regression_optimum_is_least_squares() -> None:
    inputs, targets, start = regression_data(0)
    problem = LowRankRegression(inputs, targets, start, inputs, targets)
    solution, *_ = np.linalg.lstsq(inputs.numpy(), targets.numpy(), rcond=None)
    best = problem.best_at_rank(5)
    np.testing.assert_allclose(best.weight.numpy(), solution.T, atol=1e-10)
    assert best.value == pytest.approx(problem.best_value)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_best_rank_is_reduced_rank_regression(rank: int) -> None:
    """Izenman's form: project the least-squares update on the leading directions of its fitted values."""
    inputs, targets, start = regression_data(0)
    problem = LowRankRegression(inputs, targets, start, inputs, targets)
    x, residual = inputs.numpy(), (targets - inputs @ start.T).numpy()
    update = np.linalg.lstsq(x, residual, rcond=None)[0].T
    _, _, directions = np.linalg.svd(x @ update.T)
    expected = directions[:rank].T @ directions[:rank] @ update
    best = problem.best_at_rank(rank)
    np.testing.assert_allclose((best.weight - start).numpy(), expected, atol=1e-10)
    assert np.linalg.matrix_rank((best.weight - start).numpy()) == rank
    assert best.value == pytest.approx(np.square(residual - x @ expected.T).sum() / (2 * len(x)))


def test_factorization_at_a_rank_is_eckart_young() -> None:
    _, _, matrix = regression_data(0)
    problem = MatrixFactorization(matrix, torch.zeros_like(matrix), matrix)
    tail = np.linalg.svd(matrix.numpy())[1][2:]
    best = problem.best_at_rank(2)
    assert best is not None
    assert best.value == pytest.approx(np.square(tail).sum() / (2 * matrix.numel()))
    assert FactorizationSpec(observed=0.5).draw(0).best_at_rank(2) is None


@pytest.mark.parametrize("spec", [SPECS[2], SPECS[3]])
@pytest.mark.parametrize("share", [0.3, 0.7, 1.0])
def test_best_in_ball_is_certified_by_its_frank_wolfe_gap(spec: RegressionSpec, share: float) -> None:
    """The gap bounds the excess over the ball from above, so a gap of zero proves the closed form."""
    problem = spec.draw(3)
    everything = problem.best_at_rank(5)
    assert everything is not None
    radius = share * nuclear_norm(everything.weight - problem.start)
    best = problem.best_in_ball(radius)
    assert best is not None
    update = best.weight - problem.start
    assert nuclear_norm(update) <= radius * (1 + 1e-9)
    gradient = problem.gradient(best.weight)
    gap = float((gradient * update).sum()) - nuclear_ball_lmo(gradient, radius).inner(gradient)
    assert abs(gap) < 1e-10


def test_best_in_ball_is_unknown_where_no_closed_form_is() -> None:
    problem = SPECS[0].draw(3)
    assert problem.best_in_ball(0.1) is None
    inside = problem.best_in_ball(1e3)
    assert inside is not None
    assert inside.value == pytest.approx(problem.best_value)


@pytest.mark.parametrize("spec", [RegressionSpec(rank=2, isotropic=True), FactorizationSpec(rank=2)])
def test_specs_draw_the_rank_and_nuclear_norm_that_they_state(spec: RegressionSpec) -> None:
    problem = spec.draw(0)
    best = problem.best_at_rank(2)
    assert best is not None
    assert best.value == pytest.approx(0, abs=1e-20)
    assert nuclear_norm(best.weight - problem.start) == pytest.approx(spec.nuclear_norm)
    again, other = spec.draw(0), spec.draw(1)
    assert torch.equal(again.gradient(problem.start * 0), problem.gradient(problem.start * 0))
    assert not torch.equal(other.gradient(problem.start * 0), problem.gradient(problem.start * 0))


def test_regression_inputs_have_the_condition_that_the_spec_states() -> None:
    problem = RegressionSpec(outputs=1, inputs=4, samples=200_000, rank=1, condition=25.0, test_samples=1).draw(0)
    hessian = torch.stack([problem.gradient(problem.start + row) for row in torch.eye(4, dtype=torch.float64)])
    hessian = (hessian - problem.gradient(problem.start)).reshape(4, 4)
    assert float(torch.linalg.cond(hessian)) == pytest.approx(25, rel=0.03)


def test_counterexample_optimum() -> None:
    problem = Counterexample()
    assert problem.loss(problem.start) == pytest.approx(0, abs=1e-15)
    weight = torch.full((3, 3), -0.5, dtype=torch.float64)
    weight[0, 0] = -0.05
    assert float(problem.gradient(weight).abs().max()) == 0
    assert problem.best_value == pytest.approx(-2.025)
    assert math.isnan(problem.test_loss(weight))


def test_bad_data_is_refused_in_one_sentence() -> None:
    inputs, targets, start = regression_data(0)
    holed = inputs.clone()
    holed[0, 0] = float("nan")
    half = torch.full_like(start, 0.5)
    cases = [
        (lambda: LowRankRegression(holed, targets, start, inputs, targets), "not finite"),
        (lambda: LowRankRegression(inputs[:5], targets, start, inputs, targets), "target matrix has shape"),
        (lambda: LowRankRegression(inputs, targets, start.T, inputs, targets), "input matrix has shape"),
        (lambda: LowRankRegression(0 * inputs, targets, start, inputs, targets), "zero everywhere"),
        (lambda: MatrixFactorization(start, start.T, start), "shape"),
        (lambda: MatrixFactorization(start, start, start, half), "mask"),
        (lambda: RegressionSpec(rank=0), "Rank 0"),
        (lambda: RegressionSpec(outputs=3, rank=4), "Rank 4"),
        (lambda: RegressionSpec(condition=0.5), "condition"),
        (lambda: RegressionSpec(isotropic=True, samples=3), "isotropic"),
        (lambda: RegressionSpec(samples=0), "at least one"),
        (lambda: FactorizationSpec(rank=13), "Rank 13"),
        (lambda: FactorizationSpec(observed=0), "share"),
        (lambda: FactorizationSpec(noise=math.inf), "finite"),
        (lambda: SPECS[0].draw(0).best_at_rank(6), "Rank 6"),
        (lambda: SPECS[0].draw(0).best_in_ball(-1), "Radius -1"),
        (lambda: SPECS[4].draw(0).best_in_ball(math.nan), "Radius nan"),
    ]
    for make, words in cases:
        with pytest.raises(ColaError, match=words) as caught:
            make()
        assert str(caught.value).endswith(".")
