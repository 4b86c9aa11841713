"""What holds for links that are added. Page: theory/beyond-the-theorem.md."""

from typing import Any

import pytest
import torch
from torch import Tensor

from colarepro.theory.method import Method
from colarepro.theory.methods import AdamW, Cola, Pursuit
from colarepro.theory.problem import Problem
from colarepro.theory.problems import RegressionSpec, RobustSpec
from colarepro.theory.state import Answer
from colarepro.theory.trace import oracle_share

REGRESSION = RegressionSpec(outputs=5, inputs=6, rank=3, condition=4.0, noise=0.1)
ROBUST = RobustSpec(outputs=5, inputs=6, rank=3)
LINKS, INNER = 6, 40


def chain(problem: Problem, method: Method[Any]) -> list[tuple[Tensor, Tensor, Answer]]:
    """Weights before and after each link, and the link as an answer."""
    links, state = [], method.init(problem, LINKS * INNER, range(problem.count))
    for _ in range(LINKS):
        before = method.postprocess(problem, state)
        for _ in range(INNER):
            state = method.step(problem, state)
        answer = method.answer(problem, state)
        assert answer is not None
        links.append((before, method.postprocess(problem, state), answer))
    return links


@pytest.mark.parametrize("spec", [REGRESSION, ROBUST], ids=["convex", "nonconvex"])
@pytest.mark.parametrize("method", [Cola(length=LINKS), Cola(length=LINKS, rank=2, descent=AdamW(0.05))])
def test_a_link_gains_at_least_what_its_share_and_its_length_say(
    spec: RegressionSpec | RobustSpec, method: Cola
) -> None:
    """Proposition 1, at every link, whatever the optimizer: h' <= h - (1 - s) sigma_1 |D|_* + (L / 2) |D|_F^2."""
    problem = spec.draw(range(4))
    for before, after, answer in chain(problem, method):
        torch.testing.assert_close(answer.direction, after - before)
        torch.testing.assert_close(answer.gradient, problem.gradient(before))
        share, largest = oracle_share(answer)
        nuclear = torch.linalg.matrix_norm(answer.direction, "nuc")
        squared = answer.direction.square().sum((1, 2))
        promised = -(1 - share) * largest * nuclear + problem.smoothness / 2 * squared
        assert bool((problem.loss(after) - problem.loss(before) <= promised + 1e-9).all())
        assert bool(((share >= -1e-9) & (share < 1)).all())


@pytest.mark.parametrize("rank", [1, 2])
def test_links_of_the_best_length_obey_the_theorem_for_addition(rank: int) -> None:
    """Proposition 2: the sum of kappa (1 - s)^2 sigma_1^2 is at most 2 L h_0, and the linear rate under PL."""
    problem = REGRESSION.draw(range(4))
    method = Pursuit(rank=rank)
    state = method.init(problem, 30, range(4))
    start = problem.excess(problem.start)
    total, least = torch.zeros(4, dtype=torch.float64), torch.full((4,), torch.inf, dtype=torch.float64)
    for steps in range(1, 11):
        state = method.step(problem, state)
        answer = method.answer(problem, state)
        assert answer is not None
        share, largest = oracle_share(answer)
        kappa = torch.linalg.matrix_norm(answer.direction, "nuc").square() / answer.direction.square().sum((1, 2))
        total += kappa * (1 - share).square() * largest.square()
        least = torch.minimum(least, kappa.sqrt() * (1 - share))
        excess = problem.excess(method.postprocess(problem, state))
        factor = 1 - least.square() * problem.strong_convexity / (problem.smoothness * min(problem.shape))
        assert bool((total <= 2 * problem.smoothness * start * (1 + 1e-9)).all())
        assert bool((excess <= factor**steps * start * (1 + 1e-9)).all())


def test_the_share_of_the_best_direction_of_a_rank_grows_with_the_rank() -> None:
    """1 - sum of squares / (sigma_1 times the sum) over the r leading singular values."""
    gradient = torch.diag(torch.tensor([3.0, 2.0, 1.0], dtype=torch.float64))[None]
    for rank, expected in ((1, 0.0), (2, 1 - 13 / 15), (3, 1 - 14 / 18)):
        direction = -gradient.clone()
        direction[:, :, rank:] = 0
        assert float(oracle_share(Answer(gradient, direction))[0]) == pytest.approx(expected)
