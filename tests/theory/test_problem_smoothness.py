"""The smoothness constants: bounds on the Hessian where they say so, and attained. Page: theory/README.md."""

import pytest
import torch
from torch import Tensor

from colarepro.theory.problems import DigitsTransfer, RobustRegression, SoftmaxRegression, TwoLayerLinear
from colarepro.theory.problems.digits import LARGEST_CURVE
from colarepro.theory.problems.labels import LARGEST_BEND, LARGEST_ERROR, probability_error
from tests.theory.problem_cases import CASES, SEEDS, Case, normal


def inside(case: Case, seed: int) -> Tensor:
    """Weights in the region where the smoothness constant holds, on its edge for even seeds."""
    direction = normal(200 + seed, *case.problem.start.shape)
    if seed % 3 == 0:  # the direction that lengthens the start most
        direction = case.problem.start + 1e-9 * direction
    if case.region is None:
        return case.problem.start + direction
    length = case.region * (1 if seed % 2 == 0 else 0.5)
    return case.problem.start + length * direction / torch.linalg.matrix_norm(direction)[:, None, None]


def hessians(case: Case, weight: Tensor) -> Tensor:
    """Second derivatives (S, m n, m n) of the loss written a second time."""
    size = weight[0].numel()
    return torch.stack(
        [
            torch.autograd.functional.hessian(lambda w, s=seed: case.train_loss(w, s), weight[seed]).reshape(size, size)
            for seed in range(SEEDS)
        ]
    )


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_smoothness_bounds_the_hessian_and_the_change_of_the_gradient(case: Case) -> None:
    problem = case.problem
    for seed in range(6):
        one, other = inside(case, seed), inside(case, seed + 1)
        change = torch.linalg.matrix_norm(problem.gradient(one) - problem.gradient(other))
        assert bool((change <= problem.smoothness * torch.linalg.matrix_norm(one - other) * (1 + 1e-9)).all())
        largest = torch.linalg.eigvalsh(hessians(case, one)).abs().amax(1)
        assert bool((largest <= problem.smoothness * (1 + 1e-9)).all())
        # Neither is it idle: not even the network's bound, which meets no single weight.
        assert bool((largest > problem.smoothness / 50).all())
        if case.sharp:
            torch.testing.assert_close(largest, problem.smoothness, rtol=1e-9, atol=0)


def test_smoothness_of_the_softmax_loss_is_attained_by_two_even_classes() -> None:
    x, y = normal(0, 2, 20, 4), torch.arange(20).expand(2, 20) % 2
    problem = SoftmaxRegression(x, y, torch.zeros(2, 2, 4), x, y, ridge=0.1)
    top = torch.linalg.svd(x).Vh[:, :1]
    direction = 1e-5 * torch.cat([top, -top], 1)
    change = problem.gradient(direction) - problem.gradient(-direction)
    ratio = torch.linalg.matrix_norm(change) / (2 * torch.linalg.matrix_norm(direction))
    torch.testing.assert_close(ratio, problem.smoothness, rtol=1e-6, atol=0)


def test_smoothness_of_the_robust_loss_is_attained_where_every_target_is_fitted() -> None:
    x, weight = normal(0, 2, 20, 4), normal(1, 2, 3, 4)
    problem = RobustRegression(x, x @ weight.mT, 0 * weight, x, x @ weight.mT, scale=0.7)
    torch.testing.assert_close(problem.excess(weight), torch.zeros(2, dtype=torch.float64), atol=1e-28, rtol=0)
    direction = 1e-6 * torch.linalg.svd(x).Vh[:, :1].expand(2, 3, 4)
    ratio = torch.linalg.matrix_norm(problem.gradient(weight + direction)) / torch.linalg.matrix_norm(direction)
    torch.testing.assert_close(ratio, problem.smoothness, rtol=1e-6, atol=0)
    assert bool((problem.loss(1e9 * weight) <= 3 * 0.7**2 / 2).all())  # bounded


def test_smoothness_of_two_linear_layers_is_attained_by_one_unit_at_the_edge_of_the_region() -> None:
    one = torch.ones(1, 1, 1, dtype=torch.float64)
    problem = TwoLayerLinear(3 * one, -2 * one, torch.tensor([[[0.6, 0.6]]]), one, one, region=0.5)
    edge = problem.start + 0.5 / 2**0.5
    direction = torch.full_like(edge, 1e-5)
    change = problem.gradient(edge + direction) - problem.gradient(edge - direction)
    ratio = torch.linalg.matrix_norm(change) / (2 * torch.linalg.matrix_norm(direction))
    torch.testing.assert_close(ratio, problem.smoothness, rtol=1e-6, atol=0)


def test_smoothness_of_the_tanh_network_is_attained_by_a_wide_first_layer_and_no_second() -> None:
    """A small input through a large W1, so that only W2 bends the loss, with both classes at 1/2."""
    x, label = torch.full((1, 1, 1), 1e-8, dtype=torch.float64), torch.zeros(1, 1, dtype=torch.int64)
    problem = DigitsTransfer(x, label, torch.tensor([[[1e8, 0, 0]]]), x, label, region=1e-6)
    direction = torch.tensor([[[0, 1e-6, -1e-6]]], dtype=torch.float64)
    change = problem.gradient(problem.start + direction) - problem.gradient(problem.start - direction)
    ratio = torch.linalg.matrix_norm(change) / (2 * torch.linalg.matrix_norm(direction))
    torch.testing.assert_close(ratio, problem.smoothness, rtol=1e-4, atol=0)


def test_constants_of_the_proofs_are_suprema() -> None:
    x = torch.linspace(-3, 3, 100_001, dtype=torch.float64)
    t = x.tanh()
    assert float((2 * t * (1 - t**2)).abs().max()) == pytest.approx(LARGEST_CURVE, rel=1e-8)
    error = probability_error(torch.tensor([[[0, 40.0, 0]]]), torch.zeros(1, 1, dtype=torch.int64))
    assert float(error.norm()) == pytest.approx(LARGEST_ERROR)
    p = normal(0, 500, 4).mul(3).softmax(1)
    bends = torch.linalg.eigvalsh(torch.diag_embed(p) - p[:, :, None] * p[:, None])
    assert 0.9 * LARGEST_BEND < float(bends.max()) <= LARGEST_BEND
