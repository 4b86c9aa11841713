"""The leading singular pair from products alone, against the dense SVD. Page: theory/frank-wolfe-convex.md."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.sparse import random_array
from torch import Tensor

from colarepro.errors import ColaError
from colarepro.theory.leading_pair import LEAST, LeadingPair, leading_pair

SHAPES = [(1, 1, 1), (1, 1, 5), (2, 7, 1), (3, 12, 12), (4, 30, 8), (2, 8, 30), (1, 60, 45)]


def zeros(*shape: int) -> Tensor:
    return torch.zeros(shape, dtype=torch.float64)


def gaussian(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


def with_values(values: list[float], rows: int, columns: int, seed: int = 0) -> Tensor:
    """A matrix (1, m, n) with these singular values."""
    left, right = (np.linalg.qr(gaussian(size, len(values), seed=seed + size).numpy())[0] for size in (rows, columns))
    return torch.from_numpy((left * values) @ right.T)[None]


def products(matrix: Tensor) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]:
    """A x and A^T y for a batch (S, m, n)."""
    return (
        lambda right: torch.bmm(matrix, right[:, :, None])[:, :, 0],
        lambda left: torch.bmm(matrix.mT, left[:, :, None])[:, :, 0],
    )


def of(matrix: Tensor, start: Tensor | None = None, tolerance: float = 1e-12, most: int = 100) -> LeadingPair:
    begin = matrix.new_zeros(matrix.shape[::2]) if start is None else start
    return leading_pair(*products(matrix), begin, tolerance, most)


def largest(matrix: Tensor) -> np.ndarray:
    return np.linalg.svd(matrix.numpy(), compute_uv=False)[:, 0]


def residuals(matrix: Tensor, pair: LeadingPair) -> Tensor:
    """The larger of both residuals (S,), from the definition."""
    times, transposed = products(matrix)
    ahead = times(pair.right) - pair.value[:, None] * pair.left
    back = transposed(pair.left) - pair.value[:, None] * pair.right
    return torch.maximum(torch.linalg.vector_norm(ahead, dim=1), torch.linalg.vector_norm(back, dim=1))


@pytest.mark.parametrize("shape", SHAPES)
def test_pair_is_that_of_the_dense_svd(shape: tuple[int, int, int]) -> None:
    matrix = gaussian(*shape) * torch.tensor([1e-6, 1.0, 1e6, 3.0], dtype=torch.float64)[: shape[0], None, None]
    pair = of(matrix)
    left, values, right = np.linalg.svd(matrix.numpy(), full_matrices=False)
    np.testing.assert_allclose(pair.value, values[:, 0], rtol=1e-13)
    expected = left[:, :, :1] @ right[:, :1]
    np.testing.assert_allclose(pair.left[:, :, None] * pair.right[:, None], expected, atol=1e-10)
    np.testing.assert_allclose(torch.linalg.vector_norm(pair.left, dim=1), 1, rtol=1e-14)
    np.testing.assert_allclose(torch.linalg.vector_norm(pair.right, dim=1), 1, rtol=1e-14)


@pytest.mark.parametrize("tolerance", [1e-1, 1e-3, 1e-6, 1e-9])
def test_tolerance_is_kept_by_the_residual_and_what_it_costs_falls_with_it(tolerance: float) -> None:
    matrix = gaussian(3, 50, 40)
    pair = of(matrix, tolerance=tolerance)
    assert bool((pair.residual <= tolerance * pair.value).all())
    assert bool((residuals(matrix, pair) <= pair.residual + 1e-12 * pair.value).all())
    # Residual and distance to a singular value; and a Ritz value is never above the largest one.
    assert (np.abs(largest(matrix) - pair.value.numpy()) <= pair.residual.numpy()).all()
    assert (pair.value.numpy() <= largest(matrix) * (1 + 1e-14)).all()
    assert pair.products <= of(matrix, tolerance=tolerance / 100).products


def test_value_is_the_quadratic_form_and_products_are_counted() -> None:
    matrix, calls = gaussian(2, 9, 11), []
    times, transposed = products(matrix)
    pair = leading_pair(
        lambda x: calls.append("A") or times(x), lambda x: calls.append("A^T") or transposed(x), zeros(2, 11), 1e-2
    )
    form = torch.einsum("si,sij,sj->s", pair.left, matrix, pair.right)
    np.testing.assert_allclose(form, pair.value, rtol=1e-13)
    assert pair.products == len(calls) == 2 * calls.count("A")


@pytest.mark.parametrize("spread", [0.0, 1e-14, 1e-9, 1e-4])
@pytest.mark.parametrize("most", [5, 100])
def test_close_singular_values_give_a_vector_of_their_space(spread: float, most: int) -> None:
    values = [2.0, 2.0 - spread, 2.0 - 2 * spread, 1.0, 0.5, 0.1]
    matrix = with_values(values, 30, 25)
    pair = of(matrix, tolerance=1e-10, most=most)
    assert pair.value.item() == pytest.approx(2.0, rel=max(1e-10, 1e-3 * spread))
    right = np.linalg.svd(matrix[0].numpy())[2]
    assert np.linalg.norm(right[:3] @ pair.right[0].numpy()) == pytest.approx(1.0, abs=1e-9)


def test_full_basis_restarts_until_the_tolerance_is_met() -> None:
    matrix = with_values([1.0 - 0.01 * k for k in range(40)], 60, 50)
    short, long = of(matrix, tolerance=1e-8, most=6), of(matrix, tolerance=1e-8)
    assert short.products > long.products
    np.testing.assert_allclose(short.value, 1.0, rtol=1e-13)
    assert bool((residuals(matrix, short) <= 1e-8).all())


@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (1, 9), (9, 1)])
def test_rank_one_breaks_down_and_is_exact(shape: tuple[int, int]) -> None:
    matrix = with_values([3.0], *shape)
    pair = of(matrix, tolerance=0.0)
    assert pair.products <= 4
    np.testing.assert_allclose(pair.value, 3.0, rtol=1e-14)
    np.testing.assert_allclose(3 * pair.left[:, :, None] * pair.right[:, None], matrix, atol=1e-13)


def test_zero_and_rank_one_matrices_share_a_batch_with_others() -> None:
    matrix = torch.cat((zeros(1, 12, 10), with_values([5.0], 12, 10), gaussian(1, 12, 10)))
    pair = of(matrix)
    np.testing.assert_allclose(pair.value, largest(matrix), rtol=1e-13)
    assert pair.value[0] == 0
    assert pair.residual[0] == 0
    for vectors in (pair.left, pair.right):
        np.testing.assert_allclose(torch.linalg.vector_norm(vectors, dim=1), 1, rtol=1e-14)
    alone = of(matrix[2:])
    np.testing.assert_allclose(alone.left, pair.left[2:], atol=1e-12)


def test_start_near_the_answer_needs_fewer_products() -> None:
    matrix = with_values([1.0 - 0.02 * k for k in range(40)], 80, 70)
    cold = of(matrix, tolerance=1e-3)
    shifted = matrix + 1e-3 * gaussian(1, 80, 70) / 15
    warm = of(shifted, start=cold.right, tolerance=1e-3)
    assert warm.products < of(shifted, tolerance=1e-3).products
    np.testing.assert_allclose(warm.value, largest(shifted), rtol=1e-3)


@pytest.mark.parametrize("wrong", [1, 2, 5])
@pytest.mark.parametrize("tolerance", [1e-1, 1e-2, 1e-6])
def test_start_in_a_wrong_singular_vector_is_not_trapped(wrong: int, tolerance: float) -> None:
    matrix = with_values([2.0, 1.0, 0.9, 0.8, 0.7, 0.6], 200, 150)
    right = torch.from_numpy(np.linalg.svd(matrix[0].numpy())[2][wrong])[None]
    pair = of(matrix, start=right, tolerance=tolerance)
    assert pair.value.item() == pytest.approx(2.0, rel=tolerance)


def test_start_in_the_null_space_is_no_obstacle() -> None:
    matrix = with_values([2.0, 1.0], 20, 15)
    null = torch.from_numpy(np.linalg.svd(matrix[0].numpy())[2][-1])[None]
    np.testing.assert_allclose(of(matrix, start=null).value, 2.0, rtol=1e-13)


def test_sparse_matrix_through_closures() -> None:
    matrix = random_array((70, 50), density=0.1, rng=np.random.default_rng(3), format="csr")
    pair = leading_pair(
        lambda right: torch.from_numpy(matrix @ right[0].numpy())[None],
        lambda left: torch.from_numpy(matrix.T @ left[0].numpy())[None],
        zeros(1, 50),
        1e-12,
    )
    np.testing.assert_allclose(pair.value, largest(torch.from_numpy(matrix.toarray())[None]), rtol=1e-13)


def test_float32_stops_at_its_own_rounding() -> None:
    matrix = gaussian(2, 40, 30).float()
    pair = of(matrix, tolerance=0.0)
    assert pair.left.dtype == pair.value.dtype == pair.right.dtype == torch.float32
    np.testing.assert_allclose(pair.value, largest(matrix), rtol=1e-5)
    assert pair.products <= 60


def test_least_steps_are_few() -> None:
    assert of(gaussian(1, 40, 30), tolerance=1.0).products == 2 * LEAST


@pytest.mark.parametrize(
    ("start", "tolerance", "most", "message"),
    [
        (zeros(4), 0.1, 10, "expected floats"),
        (zeros(1, 4).long(), 0.1, 10, "expected floats"),
        (zeros(0, 4), 0.1, 10, "expected floats"),
        (zeros(1, 4) * float("nan"), 0.1, 10, "finite"),
        (zeros(1, 4), -0.1, 10, "at least 0"),
        (zeros(1, 4), float("nan"), 10, "at least 0"),
        (zeros(1, 4), 0.1, 1, "at least 2"),
    ],
)
def test_bad_arguments_are_refused(start: Tensor, tolerance: float, most: int, message: str) -> None:
    with pytest.raises(ColaError, match=message):
        leading_pair(*products(zeros(1, 4, 4)), start, tolerance, most)
