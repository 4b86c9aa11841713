"""Test loss against chain length. Page: theory/generalization.md."""

import numpy as np
import pytest
import torch

from colarepro.theory.method import minimize
from colarepro.theory.methods import Cola
from colarepro.theory.problems import RegressionSpec
from colarepro.theory.spectral import truncate

ISOTROPIC = RegressionSpec(outputs=6, inputs=8, samples=80, rank=2, size=3.0, noise=0.3, isotropic=True)


def test_the_lemma_on_the_risk_of_a_truncation() -> None:
    generator = torch.Generator().manual_seed(0)
    signal, noise = (torch.randn(5, 7, 9, dtype=torch.float64, generator=generator) for _ in range(2))
    for rank in range(1, 8):
        kept = truncate(signal + noise, rank)
        left = signal + noise - kept
        risk = (kept - signal).square().sum((1, 2))
        formula = noise.square().sum((1, 2)) - left.square().sum((1, 2)) + 2 * (signal * left).sum((1, 2))
        torch.testing.assert_close(risk, formula)


def test_small_noise_costs_what_the_proposition_says() -> None:
    """N / sigma^2 times the risk at k = rho is rho (m + n - rho), and each further link adds a direction of noise."""
    m, n, rho, sigma, draws = 5, 7, 2, 1e-4, 3000
    generator = torch.Generator().manual_seed(0)
    signal = torch.zeros(m, n, dtype=torch.float64)
    signal[0, 0], signal[1, 1] = 3.0, 2.0
    noise = torch.randn(draws, m, n, dtype=torch.float64, generator=generator)
    free = torch.linalg.svdvals(torch.randn(draws, m - rho, n - rho, dtype=torch.float64, generator=generator))
    for extra in range(m - rho + 1):
        risk = (truncate(signal + sigma * noise, rho + extra) - signal).square().sum((1, 2)).mean() / sigma**2
        expected = rho * (m + n - rho) + free[:, :extra].square().sum(1).mean()
        assert float(risk) == pytest.approx(float(expected), rel=0.03)


def test_long_links_reach_the_u_whose_bottom_is_the_true_rank() -> None:
    problem = ISOTROPIC.draw(range(6))
    means = []
    for length in range(1, 6):
        chain = minimize(problem, Cola(length=length), steps=600 * length, every=600 * length)
        closed = problem.best_at_rank(length)
        torch.testing.assert_close(problem.test_loss(chain.weight), problem.test_loss(closed.weight), rtol=0.03, atol=0)
        means.append(float(problem.test_loss(closed.weight).mean()))
    assert int(np.argmin(means)) == ISOTROPIC.rank - 1
    assert means[ISOTROPIC.rank :] == sorted(means[ISOTROPIC.rank :])


def test_least_squares_on_a_gaussian_design_has_its_closed_form() -> None:
    """(sigma^2 m / 2) (1 + n / (N - n - 1)), the inverse Wishart mean."""
    spec = RegressionSpec(outputs=4, inputs=6, samples=40, rank=1, noise=0.5, test_samples=2000)
    problem = spec.draw(range(200))
    measured = float(problem.test_loss(problem.best_at_rank(4).weight).mean())
    assert measured == pytest.approx(0.25 * 4 / 2 * (1 + 6 / (40 - 7)), rel=0.02)
