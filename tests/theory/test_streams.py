"""The methods' random numbers. Page: theory/README.md."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from colarepro.errors import ColaError
from colarepro.theory.methods.streams import DRAWS, Streams, check_draw


@pytest.mark.parametrize("law", DRAWS)
def test_a_seeds_draws_are_its_own(law: str) -> None:
    together, alone, global_state = Streams([3, 4, 5]), Streams([4]), torch.get_rng_state()
    for _ in range(3):
        batch, single = together.draw_A(law, 2, 6), alone.draw_A(law, 2, 6)
        assert batch.shape == (3, 2, 6)
        assert batch.dtype == torch.float64
        assert torch.equal(batch[1], single[0])
        assert float((batch[0] - batch[1]).abs().min()) > 0
    assert torch.equal(together.rows(100, 7)[1], alone.rows(100, 7)[0])
    assert torch.equal(together.normal(2, 3)[1], alone.normal(2, 3)[0])
    assert torch.equal(torch.get_rng_state(), global_state)


def test_every_draw_is_a_new_one_and_the_same_in_the_next_run() -> None:
    first, second = Streams([0]), Streams([0])
    draws = [first.draw_A("uniform", 1, 4) for _ in range(3)]
    assert not torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[1], draws[2])
    assert all(torch.equal(draw, second.draw_A("uniform", 1, 4)) for draw in draws)


def test_no_problem_draws_the_same_numbers() -> None:
    """Problems take the bare seed; a method that did too would draw A from the problem's own shift."""
    for seed in range(20):
        bare = torch.randn(4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
        assert float((Streams([seed]).normal(4, 5)[0] - bare).abs().max()) > 0.1


@pytest.mark.parametrize("rank", [1, 3])
def test_uniform_and_gaussian_are_pefts_laws(rank: int) -> None:
    """Against `torch.nn.init` with PEFT's arguments for init_lora_weights True and "gaussian"."""
    n, seeds = 50, range(200)
    uniform = Streams(seeds).draw_A("uniform", rank, n).flatten().numpy()
    assert abs(uniform).max() <= 1 / math.sqrt(n)
    gaussian = Streams(seeds).draw_A("gaussian", rank, n).flatten().numpy()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        kaiming = torch.nn.init.kaiming_uniform_(torch.empty(20_000, n), a=math.sqrt(5)).flatten()[:100_000]
        normal = torch.nn.init.normal_(torch.empty(100_000), std=1 / rank)
    assert stats.ks_2samp(uniform, kaiming.double().numpy()).pvalue > 0.01
    assert stats.ks_2samp(gaussian, normal.double().numpy()).pvalue > 0.01


@pytest.mark.parametrize("rank", [1, 3, 6])
def test_orthonormal_rows_span_an_isotropic_space(rank: int) -> None:
    A = Streams(range(3000)).draw_A("orthonormal", rank, 6)
    torch.testing.assert_close(A @ A.mT, torch.eye(rank, dtype=torch.float64).expand(3000, -1, -1))
    mean = (A.mT @ A).mean(0)  # E[H] = (r / n) I
    torch.testing.assert_close(mean, rank / 6 * torch.eye(6, dtype=torch.float64), atol=0.03, rtol=0)


def test_rows_are_drawn_evenly_and_with_replacement() -> None:
    rows = Streams([0, 1]).rows(10, 5000)
    assert rows.shape == (2, 5000)
    for own in rows:
        counts = np.bincount(own.numpy(), minlength=10)
        assert len(counts) == 10
        assert stats.chisquare(counts).pvalue > 0.01


def test_an_unknown_law_is_refused() -> None:
    with pytest.raises(ColaError, match="Unknown draw 'cauchy'; expected one of uniform, gaussian, orthonormal"):
        check_draw("cauchy")
