"""What a trace measures, by hand and by NumPy. Page: theory/README.md."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from colarepro.theory.lmo import nuclear_ball_lmo
from colarepro.theory.method import minimize
from colarepro.theory.methods import Cola, FrankWolfe, Full, Lora, RacLora
from colarepro.theory.problems import MatrixFactorization
from colarepro.theory.state import Answer, State
from colarepro.theory.trace import Trace, oracle_share
from tests.theory.cases import REGRESSION


def random_matrices(*size: int, seed: int = 0) -> Tensor:
    return torch.randn(size, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def diagonal(*values: float) -> Tensor:
    return torch.diag(torch.tensor(values, dtype=torch.float64))


def small() -> MatrixFactorization:
    """Two seeds: the mean over nine entries of (W - M)^2 / 2, from zero, M = diag(3, 2, 0) or diag(0, 0, 6)."""
    matrix = torch.stack([diagonal(3, 2, 0), diagonal(0, 0, 6)])
    return MatrixFactorization(matrix, torch.zeros_like(matrix), matrix / 2)


def test_a_run_measures_what_can_be_had_by_hand() -> None:
    trace = minimize(small(), Full(), steps=1, radius=2.0).trace
    expected: dict[str, list[Any]] = {
        "step": [0, 1],
        "loss": [[13 / 18, 36 / 18], [0, 0]],
        "excess": [[13 / 18, 36 / 18], [0, 0]],
        "test_loss": [[13 / 72, 36 / 72], [13 / 72, 36 / 72]],
        "gradient_norm": [[math.sqrt(13) / 9, 6 / 9], [0, 0]],
        "gap": [[2 * 3 / 9, 2 * 6 / 9], [0, 0]],
        "rank": [[0, 0], [2, 1]],
        "update_norm": [[0, 0], [math.sqrt(13), 6]],
        "gradients": [0, 1],
        "lmo_calls": [0, 0],
        "svds": [0, 0],
        "flops": [0, 0],
    }
    for name, values in expected.items():
        np.testing.assert_allclose(getattr(trace, name), values, atol=1e-12, err_msg=name)
    for name in ("oracle_share", "oracle_error"):  # full fine-tuning has no link
        assert np.isnan(getattr(trace, name)).all()
    assert trace.seconds[0] == 0 < trace.seconds[1]
    assert np.isnan(minimize(small(), Full(), steps=1).trace.gap).all()


def test_the_gap_is_that_of_the_ball_round_the_start() -> None:
    problem, weight = REGRESSION.draw([0, 1]), REGRESSION.draw([0, 1]).start + random_matrices(2, 5, 6)
    trace, live = Trace(), torch.ones(2, dtype=torch.bool)
    trace.measure(problem, weight, live, 0, State(), None, 0.0, 1.5)
    for seed in range(2):
        gradient, update = problem.gradient(weight)[seed].numpy(), (weight - problem.start)[seed].numpy()
        left, _, right = np.linalg.svd(gradient)
        best = -1.5 * np.outer(left[:, 0], right[0])
        assert trace.gap[0][seed] == pytest.approx((gradient * (update - best)).sum())


def test_what_is_a_millionth_of_a_millionth_adds_no_rank_and_more_does() -> None:
    problem = small()
    weight = torch.stack([diagonal(1, 1e-6, 1e-12), diagonal(1e-20, 1e-21, 1e-32)])
    trace = Trace()
    trace.measure(problem, weight, torch.ones(2, dtype=torch.bool), 0, State(), None, 0.0, None)
    assert trace.rank[0].tolist() == [2, 2]
    np.testing.assert_allclose(trace.update_norm[0], [math.sqrt(1 + 1e-12), 1.005e-20], rtol=1e-4)


def test_a_seed_that_has_ended_or_is_not_finite_leaves_the_others_numbers() -> None:
    problem = REGRESSION.draw([0, 1, 2])
    weight = problem.start + random_matrices(3, 5, 6)
    clean, holed = Trace(), Trace()
    answer = Answer(problem.gradient(weight), -weight)
    clean.measure(problem, weight, torch.tensor([True, True, True]), 0, State(), answer, 0.0, 1.0)
    for bad in (math.nan, math.inf):
        broken = weight.clone()
        broken[2, 0, 0] = bad
        wrong = Answer(problem.gradient(broken), -broken)
        holed = Trace()
        holed.measure(problem, broken, torch.tensor([True, False, True]), 0, State(), wrong, 0.0, 1.0)
        for name in ("loss", "gap", "rank", "update_norm", "gradient_norm", "oracle_share", "oracle_error"):
            entries, whole = getattr(holed, name)[0], getattr(clean, name)[0]
            assert entries[0] == pytest.approx(whole[0], rel=1e-12)
            assert np.isnan(entries[1])
            assert not np.isfinite(entries[2])


def test_the_share_is_the_formula_by_numpy() -> None:
    gradient, direction = random_matrices(50, 5, 4), random_matrices(50, 5, 4, seed=1)
    share, largest = oracle_share(Answer(gradient, direction))
    for position, (own, way) in enumerate(zip(gradient.numpy(), direction.numpy(), strict=True)):
        top, nuclear = np.linalg.norm(own, 2), np.linalg.norm(way, "nuc")
        assert float(largest[position]) == pytest.approx(top)
        assert float(share[position]) == pytest.approx(1 + (own * way).sum() / (top * nuclear))
    assert bool(((share >= 0) & (share <= 2)).all())
    again, _ = oracle_share(Answer(3 * gradient, 0.01 * direction))
    torch.testing.assert_close(again, share)


def test_the_share_of_the_exact_atom_is_zero_of_an_ascent_two_and_of_nothing_not_a_number() -> None:
    gradient = random_matrices(6, 5, 4)
    atom = nuclear_ball_lmo(gradient, 2.0).matrix()
    zero = torch.zeros_like(gradient)
    assert float(oracle_share(Answer(gradient, atom))[0].abs().max()) < 1e-12
    torch.testing.assert_close(oracle_share(Answer(gradient, -atom))[0], torch.full((6,), 2.0, dtype=torch.float64))
    assert bool(oracle_share(Answer(gradient, zero))[0].isnan().all())
    assert bool(oracle_share(Answer(zero, atom))[0].isnan().all())


def test_the_error_is_what_the_direction_in_the_ball_misses() -> None:
    """epsilon of Theorem 4.1: <G, V> - min over the ball, for V the direction scaled to nuclear norm tau."""
    problem, radius = REGRESSION.draw([0, 1]), 3.0
    answer = Answer(random_matrices(2, 5, 6), random_matrices(2, 5, 6, seed=1))
    trace = Trace()
    trace.measure(problem, problem.start, torch.ones(2, dtype=torch.bool), 0, State(), answer, 0.0, radius)
    for seed, (own, way) in enumerate(zip(answer.gradient.numpy(), answer.direction.numpy(), strict=True)):
        vertex = radius * way / np.linalg.norm(way, "nuc")
        assert trace.oracle_error[0][seed] == pytest.approx((own * vertex).sum() + radius * np.linalg.norm(own, 2))
    free = Trace()
    free.measure(problem, problem.start, torch.ones(2, dtype=torch.bool), 0, State(), answer, 0.0, None)
    assert np.isnan(free.oracle_error[0]).all()
    np.testing.assert_array_equal(free.oracle_share[0], trace.oracle_share[0])


def test_frank_wolfe_with_a_dense_svd_has_no_error_and_a_random_link_has() -> None:
    problem = REGRESSION.draw([0, 1])
    exact = np.array(minimize(problem, FrankWolfe(radius=2.0), steps=10, radius=2.0).trace.oracle_share)
    assert np.isnan(exact[0]).all()
    assert abs(exact[1:]).max() < 1e-12
    link = np.array(minimize(problem, Lora(), steps=10).trace.oracle_share)
    assert np.isnan(link[0]).all()
    assert (link[1:] > 1e-3).all()
    assert (link[1:] < 1).all()


def test_the_first_step_of_a_link_goes_down_the_projected_gradient() -> None:
    """From B = 0 a step of gradient descent is -gamma G A^T A, whatever the step's length."""
    problem = REGRESSION.draw([0, 1])
    method = RacLora(rank=2)
    A = method.init(problem, 5, [0, 1]).A.detach()
    gradient = problem.gradient(problem.start)
    share, _ = oracle_share(Answer(gradient, -gradient @ A.mT @ A))
    trace = minimize(problem, method, steps=5).trace
    np.testing.assert_allclose(trace.oracle_share[1], share.numpy(), rtol=1e-12)


def test_between_links_the_answer_is_that_of_the_link_before() -> None:
    problem = REGRESSION.draw([0])
    method = Cola(length=2)
    state = method.init(problem, 6, [0])
    starts = [problem.start]
    for step in range(1, 7):
        state = method.step(problem, state)
        answer = method.answer(problem, state)
        assert answer is not None
        if step == 3:
            starts.append(method.postprocess(problem, state))
        begun = starts[-1] if step > 3 else starts[0]
        torch.testing.assert_close(answer.gradient, problem.gradient(begun))
        torch.testing.assert_close(answer.direction, method.postprocess(problem, state) - begun)
