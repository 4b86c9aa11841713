"""The adapter methods against NumPy, against PEFT with `colarepro.chain`, and by hand. Page: theory/README.md."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from colarepro.theory.method import Method, minimize
from colarepro.theory.methods import AdamW, AsymmetricLora, Cola, GradientDescent, Lora, ReLora, Restart
from colarepro.theory.methods.chained_cola import ChainedCola
from colarepro.theory.methods.descent import Descent
from colarepro.theory.problem import Problem
from colarepro.theory.problems import LowRankRegression
from tests.theory.cases import REGRESSION, label

DESCENTS: tuple[Descent, ...] = (GradientDescent(0.1, "problem"), GradientDescent(), AdamW(0.02))
STEPS, KNOTS = 40, (13, 27)  # of three links


def data() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.standard_normal((20, 6)), rng.standard_normal((20, 5)), rng.standard_normal((5, 6))


def followed(
    method: Method[Any], problem: Problem, steps: int, seeds: list[int]
) -> tuple[np.ndarray, list[np.ndarray]]:
    """The last weights and the values of A before every step (S, r, n)."""
    state, draws = method.init(problem, steps, seeds), []
    for _ in range(steps):
        draws.append(state.A.detach().numpy().copy())
        state = method.step(problem, state)
    return method.postprocess(problem, state).numpy(), draws


class Adam:
    """torch's AdamW without weight decay, for one matrix."""

    def __init__(self, rate: float, shape: tuple[int, ...]) -> None:
        self.rate, self.count = rate, 0
        self.first, self.second = np.zeros(shape), np.zeros(shape)

    def update(self, gradient: np.ndarray, warmth: float = 1.0) -> np.ndarray:
        self.count += 1
        self.first = 0.9 * self.first + 0.1 * gradient
        self.second = 0.999 * self.second + 0.001 * gradient**2
        spread = np.sqrt(self.second / (1 - 0.999**self.count)) + 1e-8
        return warmth * self.rate * self.first / (1 - 0.9**self.count) / spread

    def prune(self, share: float) -> None:
        """Zero both moments where the first is among the ``share`` of least entries, by a threshold."""
        zeros = round(share * self.first.size)
        threshold = np.partition(np.abs(self.first).ravel(), zeros - 1)[zeros - 1] if zeros else -1.0
        self.second[np.abs(self.first) <= threshold] = 0.0
        self.first[np.abs(self.first) <= threshold] = 0.0


def squared_norm(factor: np.ndarray) -> float:
    """The documented bound on the squared spectral norm, from singular values and not from Gram matrices."""
    return float((np.linalg.svd(factor)[1] ** 8).sum() ** 0.25)


@pytest.mark.parametrize("descent", DESCENTS, ids=str)
@pytest.mark.parametrize("initialization", ["fresh", "same"])
def test_cola_equals_numpy(descent: Descent, initialization: Any) -> None:
    """The same draws of A; everything else by hand: loss, gradients, optimizer with its reset, merge."""
    x, y, start = data()
    problem = LowRankRegression(*(torch.from_numpy(part)[None] for part in (x, y, start, x, y)))
    method = Cola(length=3, rank=2, descent=descent, initialization=initialization)
    weight, draws = followed(method, problem, STEPS, [7])
    merged, smoothness = start.copy(), np.linalg.eigvalsh(x.T @ x / len(x))[-1]
    firsts = [draws[index][0] for index in (0, *KNOTS)]
    for draw, begin, end in zip(firsts, (0, *KNOTS), (*KNOTS, STEPS), strict=True):
        a, b = draw.copy(), np.zeros((5, 2))
        moments = Adam(0.02, a.shape), Adam(0.02, b.shape)
        for _ in range(begin, end):
            g = (x @ (merged + b @ a).T - y).T @ x / len(x)
            gradients = (b.T @ g, g @ a.T)
            if isinstance(descent, AdamW):
                updates = [moment.update(gradient) for moment, gradient in zip(moments, gradients, strict=True)]
            else:
                own = smoothness
                if descent.smoothness == "local":
                    own = smoothness * (squared_norm(a) + squared_norm(b)) + np.linalg.norm(g)
                updates = [descent.factor / own * gradient for gradient in gradients]
            a, b = a - updates[0], b - updates[1]
        merged = merged + b @ a
    np.testing.assert_allclose(weight[0], merged, rtol=1e-9, atol=1e-10)
    same = [np.array_equal(firsts[0], draw) for draw in firsts[1:]]
    assert all(same) if initialization == "same" else not any(same)


@pytest.mark.parametrize("descent", DESCENTS, ids=str)
@pytest.mark.parametrize("initialization", ["fresh", "same"])
@pytest.mark.parametrize(("rank", "length", "steps"), [(1, 4, 22), (3, 1, 9), (2, 3, 31), (1, 12, 12)])
def test_the_batched_chain_is_the_chain_that_language_models_train(
    descent: Descent, initialization: Any, rank: int, length: int, steps: int
) -> None:
    problem = REGRESSION.draw([0, 1])
    options: dict[str, Any] = {
        "length": length,
        "initialization": initialization,
        "rank": rank,
        "descent": descent,
        "draw": "gaussian" if rank == 2 else "uniform",
    }
    batched, chained = (
        minimize(problem, method, steps=steps, seeds=[5, 6]) for method in (Cola(**options), ChainedCola(**options))
    )
    np.testing.assert_allclose(batched.trace.loss, chained.trace.loss, rtol=1e-9)
    torch.testing.assert_close(batched.weight, chained.weight, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("draw", "warmup", "prune"), [("uniform", 4, 0.9), ("orthonormal", 0, 0.5), ("gaussian", 2, 0)]
)
def test_relora_prunes_the_moments_and_warms_up_again(draw: str, warmup: int, prune: float) -> None:
    problem = REGRESSION.draw([0, 1])
    method = ReLora(length=3, rank=2, draw=draw, warmup=warmup, prune=prune, descent=AdamW(0.02))
    weights, draws = followed(method, problem, STEPS, [3, 4])
    for seed in range(2):
        merged, own = problem.start[seed].numpy().copy(), problem.take([seed])
        moments = Adam(0.02, (2, 6)), Adam(0.02, (5, 2))
        for begin, end in zip((0, *KNOTS), (*KNOTS, STEPS), strict=True):
            a, b = draws[begin][seed].copy(), np.zeros((5, 2))
            for index in range(begin, end):
                g = own.gradient(torch.from_numpy(merged + b @ a)[None])[0].numpy()
                warmth = min(1, (index - begin + 1) / (warmup + 1)) if begin else 1
                gradients = (b.T @ g, g @ a.T)
                updates = [m.update(gradient, warmth) for m, gradient in zip(moments, gradients, strict=True)]
                a, b = a - updates[0], b - updates[1]
            merged = merged + b @ a
            for moment in moments:
                moment.prune(prune)
        np.testing.assert_allclose(weights[seed], merged, rtol=1e-9, atol=1e-10)


def test_a_restart_drops_the_optimizers_state_at_knots_and_nothing_else() -> None:
    problem = REGRESSION.draw([0])
    weights, draws = followed(Restart(length=3, rank=2, descent=AdamW(0.02)), problem, STEPS, [3])
    a, b = draws[0][0].copy(), np.zeros((5, 2))
    for index in range(STEPS):
        if index in (0, *KNOTS):
            moments = Adam(0.02, (2, 6)), Adam(0.02, (5, 2))
        g = problem.gradient(problem.start + torch.from_numpy(b @ a))[0].numpy()
        gradients = (b.T @ g, g @ a.T)
        updates = [moment.update(gradient) for moment, gradient in zip(moments, gradients, strict=True)]
        a, b = a - updates[0], b - updates[1]
    np.testing.assert_allclose(weights[0], problem.start[0].numpy() + b @ a, rtol=1e-9, atol=1e-10)
    lora = minimize(problem, Lora(rank=2, descent=AdamW(0.02)), steps=STEPS, seeds=[3])
    assert float((lora.weight - torch.from_numpy(weights)).abs().max()) > 1e-3


def test_with_gradient_descent_a_restart_is_lora_in_its_trace_too() -> None:
    problem = REGRESSION.draw([0, 1])
    restart, lora = (minimize(problem, method, steps=20) for method in (Restart(length=4, rank=2), Lora(rank=2)))
    assert torch.equal(restart.weight, lora.weight)
    np.testing.assert_array_equal(restart.trace.oracle_share, lora.trace.oracle_share)


@pytest.mark.parametrize("descent", DESCENTS, ids=str)
@pytest.mark.parametrize("one", [Cola(length=1), ReLora(length=1), Restart(length=1)], ids=label)
def test_one_link_is_lora(one: Cola | ReLora | Restart, descent: Descent) -> None:
    problem = REGRESSION.draw([0, 1])
    options: dict[str, Any] = {"rank": 2, "descent": descent}
    run, lora = (
        minimize(problem, method, steps=20).weight for method in (type(one)(length=1, **options), Lora(**options))
    )
    assert torch.equal(run, lora)


@pytest.mark.parametrize("descent", DESCENTS, ids=str)
def test_asymmetric_lora_never_moves_A_and_stays_in_its_row_space(descent: Descent) -> None:
    problem = REGRESSION.draw([0, 1])
    method = AsymmetricLora(rank=2, descent=descent)
    weights, draws = followed(method, problem, STEPS, [3, 4])
    assert all(np.array_equal(draws[0], draw) for draw in draws[1:])
    update = torch.from_numpy(weights) - problem.start
    a = torch.from_numpy(draws[0])
    torch.testing.assert_close(update @ torch.linalg.pinv(a) @ a, update)
    assert float(update.norm()) > 0.1


def test_the_optimizer_of_every_chain_is_as_new_after_a_knot() -> None:
    problem = REGRESSION.draw([0, 1])
    for method in (Cola(length=2, descent=AdamW(0.1)), Restart(length=2, descent=AdamW(0.1))):
        state = method.init(problem, 6, [0, 1])
        entries = []
        for _ in range(6):
            state = method.step(problem, state)
            entries.append(len(state.optimizer.state))
        assert entries == [2, 2, 0, 2, 2, 2]


def test_a_knot_moves_the_weight_by_rounding_alone() -> None:
    """The frozen weight changes at knots only, into the start plus all links, and the new link adds nothing."""
    problem = REGRESSION.draw([0, 1])
    method: Method[Any]
    for method in (Cola(length=4), ReLora(length=4), Cola(length=4, initialization="same")):
        state = method.init(problem, 8, [0, 1])
        for index in range(1, 9):
            before = state.base, state.A.detach().clone(), state.B.detach().clone()
            state = method.step(problem, state)
            if index in (2, 4, 6):
                assert not bool(state.B.any())
                total: Tensor = problem.start + state.total
                torch.testing.assert_close(state.base, total, rtol=0, atol=1e-14)
            else:
                assert torch.equal(state.base, before[0])
