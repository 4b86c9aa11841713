"""Singular values of a product from its factors, and ranks read from them."""

import math

import numpy as np
import pytest
import torch

from colarepro.anatomy.spectrum import effective_rank, numerical_rank, singular_values, stable_rank
from colarepro.chain.target import Factors


@pytest.mark.parametrize(("outputs", "inputs", "rank"), [(20, 30, 4), (30, 20, 16), (5, 40, 8)])
def test_factors_give_what_the_dense_matrix_gives(outputs: int, inputs: int, rank: int) -> None:
    """Also where the product's rank is less than the factors' (5 outputs, 8 columns)."""
    generator = torch.Generator().manual_seed(0)
    factors = Factors(
        torch.randn(rank, inputs, generator=generator, dtype=torch.float64),
        torch.randn(outputs, rank, generator=generator, dtype=torch.float64),
    )
    dense = np.linalg.svd((factors.B @ factors.A).numpy(), compute_uv=False)
    found = singular_values(factors).numpy()
    expected = dense[:rank]
    np.testing.assert_allclose(found[: len(expected)], expected, rtol=1e-12, atol=1e-12)
    assert found[len(expected) :] == pytest.approx(0, abs=1e-12)


def test_ranks_of_a_known_spectrum() -> None:
    values = torch.tensor([4.0, 2.0, 1.0, 1.0, 0.04, 0.03], dtype=torch.float64)
    assert numerical_rank(values) == 4  # 0.04 is 1 % and not above it
    assert stable_rank(values) == pytest.approx(float(np.linalg.norm(np.diag(values)) ** 2) / 16)
    shares = [float(value) / float(values.sum()) for value in values]
    assert effective_rank(values) == pytest.approx(math.exp(-sum(share * math.log(share) for share in shares)))
    equal = torch.ones(5, dtype=torch.float64)
    assert (numerical_rank(equal), stable_rank(equal)) == (5, 5)
    assert effective_rank(equal) == pytest.approx(5)


def test_nothing_has_rank_zero() -> None:
    values = singular_values(Factors(torch.ones(3, 7), torch.zeros(6, 3)))
    assert values.tolist() == [0, 0, 0]
    assert (numerical_rank(values), stable_rank(values), effective_rank(values)) == (0, 0, 0)
