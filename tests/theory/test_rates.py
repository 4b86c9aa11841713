"""Fitted rates against curves whose rate is known. Page: theory/README.md."""

import numpy as np
import pytest

from colarepro.errors import ColaError
from colarepro.theory.rates import linear_rate, most_linear_window, power_law

STEPS = np.arange(1, 201)


def noisy(exponent: np.ndarray, seeds: int = 12) -> np.ndarray:
    """Columns of exp(exponent) times a factor of its own for every seed."""
    return np.exp(exponent)[:, None] * np.exp(np.random.default_rng(0).normal(0, 0.3, (1, seeds)))


@pytest.mark.parametrize("power", [-2.0, -1.0, -0.5])
def test_a_power_law_is_found(power: float) -> None:
    rate = power_law(STEPS, noisy(power * np.log(STEPS)))
    assert rate.slope == pytest.approx(power, abs=1e-6)
    assert rate.low <= rate.slope <= rate.high


def test_a_linear_rate_is_the_logarithm_of_the_factor() -> None:
    assert linear_rate(STEPS, noisy(STEPS * np.log(0.9))).slope == pytest.approx(np.log(0.9))


def test_the_window_leaves_out_a_bend_and_a_floor() -> None:
    x = np.log(STEPS)
    y = np.where(STEPS < 12, 0.0, -2 * (x - np.log(12)))
    y = np.maximum(y, -2 * (np.log(150) - np.log(12)))
    window = most_linear_window(x, y)
    assert STEPS[window][0] >= 11
    assert STEPS[window][-1] <= 155
    assert power_law(STEPS, np.exp(y)[:, None]).slope == pytest.approx(-2, abs=0.02)


def test_the_mean_is_fitted_and_not_the_mean_of_logarithms() -> None:
    """Two seeds at factors 0.5 and 0.9: their mean goes on as the slower one, their logarithms' mean does not."""
    steps = np.arange(60)
    values = np.stack([0.5**steps, 0.9**steps], axis=1) + 0.0
    assert linear_rate(steps, values).slope == pytest.approx(np.log(0.9), abs=0.01)
    assert np.log(values).mean(1)[-1] / 59 < np.log(0.9) - 0.2


def test_the_bootstrap_interval_covers_about_as_often_as_it_says() -> None:
    """Seeds whose own exponents scatter round -1; the geometric mean of their curves has exponent -1."""
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(40):
        exponents = -1 + rng.normal(0, 0.02, 20)
        rate = power_law(STEPS[::5], np.exp(np.log(STEPS[::5])[:, None] * exponents))
        covered += rate.low <= -1 <= rate.high
    assert covered >= 32


def test_one_seed_has_no_interval() -> None:
    assert np.isnan(power_law(STEPS, (1.0 / STEPS)[:, None]).low)


@pytest.mark.parametrize(
    "values", [np.ones((3, 2)), np.zeros((200, 2)), np.full((200, 2), np.nan), np.ones(200), np.ones((199, 2))]
)
def test_what_has_no_rate_is_refused(values: np.ndarray) -> None:
    with pytest.raises(ColaError, match="A rate was asked for"):
        power_law(STEPS[:3] if len(values) == 3 else STEPS, values)
