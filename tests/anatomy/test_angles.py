"""Principal angles against their definition by orthonormal bases, and where they are known."""

import numpy as np
import pytest
import torch

from colarepro.anatomy.angles import angles_between, chance_angles
from colarepro.chain.target import Factors


def drawn(seed: int, rank: int = 3) -> Factors:
    generator = torch.Generator().manual_seed(seed)
    return Factors(torch.randn(rank, 12, generator=generator), torch.randn(9, rank, generator=generator))


def by_cosines(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    bases = [np.linalg.qr(space.astype(float))[0] for space in (one, other)]
    cosines = np.linalg.svd(bases[0].T @ bases[1], compute_uv=False)
    return np.degrees(np.arccos(cosines.clip(-1, 1)))


def test_angles_are_those_between_orthonormal_bases() -> None:
    one, other = drawn(0), drawn(1, rank=2)
    columns, rows = angles_between(one, other)
    np.testing.assert_allclose(columns, by_cosines(one.B.numpy(), other.B.numpy()), rtol=1e-6)
    np.testing.assert_allclose(rows, by_cosines(one.A.T.numpy(), other.A.T.numpy()), rtol=1e-6)
    assert len(columns) == 2
    assert (np.diff(columns) > 0).all()


def test_the_same_space_and_its_complement() -> None:
    link = drawn(2)
    mixed = Factors(link.A, link.B @ torch.tensor([[1.0, 2, 0], [0, 1, 3], [1, 0, 1]]))
    assert angles_between(link, mixed)[0] == pytest.approx(0, abs=1e-4)
    complement = np.linalg.svd(link.B.numpy())[0][:, 3:6]
    columns, rows = angles_between(link, Factors(link.A, torch.tensor(complement)))
    assert columns == pytest.approx(90, abs=1e-4)
    assert rows == pytest.approx(0, abs=1e-4)


def test_a_link_of_fewer_dimensions_has_fewer_angles() -> None:
    link = drawn(3)
    thin = Factors(link.A, link.B[:, :1] @ torch.ones(1, 3))
    columns, rows = angles_between(link, thin)
    assert columns[0] == pytest.approx(0, abs=1e-4)
    assert np.isnan(columns[1:]).all()
    assert np.isfinite(rows).all()


def test_chance_is_of_the_links_own_sizes() -> None:
    columns, rows = chance_angles(drawn(0), drawn(1, rank=2), np.random.default_rng(0))
    again = chance_angles(drawn(5), drawn(6, rank=2), np.random.default_rng(0))
    assert len(columns) == len(rows) == 2
    np.testing.assert_array_equal((columns, rows), again)
    assert ((columns > 0) & (columns < 90)).all()
