"""The bounds' formulas, where they hold and where they are void. Page: theory/README.md."""

import math

import numpy as np
import pytest

from colarepro.errors import ColaError
from colarepro.theory.bounds import (
    BEST,
    PRINTED,
    PROVED,
    cola_average_gap,
    cola_first_step,
    hazan_luo_excess,
    jaggi_excess,
    lacoste_julien_least_gap,
    pursuit_contraction,
    rac_contraction,
    rac_mean_square_gradient,
    rac_share,
)


def test_the_recursions_behind_the_bounds_stay_under_them() -> None:
    """Each proof's own recursion, run with equality, is the worst case that the bound has to cover."""
    L, D = 2.0, 3.0
    h = math.inf
    for t in range(500):  # Jaggi: h' = (1 - γ) h + γ² L D² / 2
        step = 2 / (t + 2)
        h = (0 if step == 1 else (1 - step) * h) + step**2 * L * D**2 / 2
        assert h <= jaggi_excess(t + 1, L, D)
    h = math.inf
    for t in range(500):  # Hazan & Luo: the variance adds γ (L D / (t + 1)) D
        step = 2 / (t + 2)
        h = (0 if step == 1 else (1 - step) * h) + step**2 * L * D**2 / 2 + step * L * D / (t + 2) * D
        assert h <= hazan_luo_excess(t + 1, L, D)


def test_lacoste_julien_covers_the_largest_gap_that_the_descent_leaves_room_for() -> None:
    """Each step falls by at least min(g / 2, g² / (2 C)); with constant gap g all of them together at most h0."""
    for h0, L, D in ((0.1, 1.0, 1.0), (5.0, 1.0, 1.0), (2.0, 3.0, 0.5)):
        C = L * D**2
        for t in range(1, 200):
            gaps = np.linspace(1e-3, 20, 4000)
            possible = gaps[(t + 1) * np.minimum(gaps / 2, gaps**2 / (2 * C)) <= h0]
            if len(possible):
                assert possible.max() <= lacoste_julien_least_gap(t, h0, L, D) + 1e-9


def test_theorem_4_1_and_its_condition() -> None:
    assert cola_average_gap(16, 4.0, 9.0, 2.0) == pytest.approx(2 * 6 * 2 / 4)
    assert cola_average_gap(16, 4.0, 9.0, 2.0, error=1.5, constant=PROVED) == pytest.approx(1.5 * 3 + 1.5)
    assert BEST < PROVED < PRINTED
    assert cola_first_step(40.0, 1.0, 2.0) == 10
    assert cola_first_step(40.0, 1.0, 2.0, best_step=True) == 20
    assert cola_first_step(1.0, 1.0, 2.0) == 1


def test_a_random_projection_keeps_r_of_n_in_the_mean() -> None:
    rng = np.random.default_rng(0)
    kept = []
    for _ in range(4000):
        basis = np.linalg.qr(rng.standard_normal((8, 3)))[0]
        kept.append((basis @ basis.T)[0, 0])
    assert np.mean(kept) == pytest.approx(rac_share(3, 8), abs=0.01)
    assert rac_contraction(0.5, 0.8, 3, 8) == pytest.approx(1 - 0.5 * 0.8 * 3 / 8)
    assert rac_contraction(1.0, 1.0, 8, 8) == 0
    assert rac_mean_square_gradient(10, 3.0, 0.5, 2, 8) == pytest.approx(2 * 3 * 8 / (2 * 0.5 * 10))


def test_pursuit_removes_at_least_the_share_of_a_flat_spectrum() -> None:
    rng = np.random.default_rng(0)
    for rank in (1, 2, 5):
        for _ in range(20):
            squares = np.sort(rng.exponential(size=5))[::-1]
            assert squares[rank:].sum() <= pursuit_contraction(rank, (5, 9)) * squares.sum() + 1e-12
    assert pursuit_contraction(5, (9, 5)) == 0


@pytest.mark.parametrize(
    ("bound", "arguments"),
    [
        (cola_average_gap, (0, 1.0, 1.0, 1.0)),
        (cola_average_gap, (1, -1.0, 1.0, 1.0)),
        (jaggi_excess, (1, 0.0, 1.0)),
        (hazan_luo_excess, (0, 1.0, 1.0)),
        (lacoste_julien_least_gap, (-1, 1.0, 1.0, 1.0)),
        (rac_share, (0, 4)),
        (rac_share, (5, 4)),
        (rac_mean_square_gradient, (0, 1.0, 1.0, 1, 4)),
        (pursuit_contraction, (6, (5, 9))),
    ],
)
def test_a_bound_of_nothing_is_refused(bound: object, arguments: tuple[object, ...]) -> None:
    assert callable(bound)
    with pytest.raises(ColaError, match="expected"):
        bound(*arguments)
