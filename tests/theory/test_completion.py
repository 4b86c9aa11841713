"""Matrix completion without the matrix, against a dense Frank-Wolfe. Page: theory/frank-wolfe-convex.md."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
import torch

from colarepro.errors import ColaError
from colarepro.theory.completion import Completion, complete, oracle, weight
from colarepro.theory.leading_pair import LeadingPair

RULES = ("open-loop", "short", "exact", "adaptive")


@dataclass(frozen=True)
class Data:
    """``full`` (m, n) seen where ``mask`` (m, n) is true."""

    full: np.ndarray
    mask: np.ndarray
    radius: float

    @property
    def entries(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        rows, columns = np.nonzero(self.mask)
        return rows, columns, self.full[rows, columns]

    def loss(self, weight: np.ndarray) -> float:
        return float(((weight - self.full)[self.mask] ** 2).mean() / 2)

    def gradient(self, weight: np.ndarray) -> np.ndarray:
        return np.where(self.mask, weight - self.full, 0.0) / self.mask.sum()

    def gap(self, weight: np.ndarray) -> float:
        gradient = self.gradient(weight)
        return float((gradient * weight).sum() + self.radius * np.linalg.norm(gradient, 2))

    def complete(self, **settings: Any) -> Completion:
        return complete(*self.entries, self.mask.shape, self.radius, **settings)


def data(rows: int = 14, columns: int = 10, share: float = 1.0, noise: float = 0.1, seed: int = 0) -> Data:
    """Rank 2 plus noise, 60 % seen; the radius is ``share`` of the nuclear norm."""
    rng = np.random.default_rng(seed)
    low = rng.standard_normal((rows, 2)) @ rng.standard_normal((2, columns))
    full = low + noise * rng.standard_normal((rows, columns))
    mask = rng.random((rows, columns)) < 0.6
    mask[0, 0] = True
    return Data(full, mask, share * float(np.linalg.norm(low, "nuc")))


def dense_frank_wolfe(problem: Data, rule: str, steps: int) -> tuple[list[float], list[float], list[float], np.ndarray]:
    """Losses, gaps, steps and the last weight, with a dense SVD a step and every loss evaluated."""
    weight, smoothness = np.zeros(problem.full.shape), 1 / problem.mask.sum()
    losses, gaps, sizes, local = [problem.loss(weight)], [problem.gap(weight)], [], None
    for step in range(steps):
        gradient = problem.gradient(weight)
        left, _, right = np.linalg.svd(gradient)
        vertex = -problem.radius * np.outer(left[:, 0], right[0])
        direction = vertex - weight
        gap, length = -(gradient * direction).sum(), (direction**2).sum()
        if rule == "open-loop":
            size = 2 / (step + 2)
        elif rule == "short":
            size = min(1, gap / (smoothness * length))
        elif rule == "exact":
            line = [problem.loss(weight + t * direction) for t in (0, 0.5, 1)]
            bend = 4 * (line[0] - 2 * line[1] + line[2])
            size = min(1, gap / bend)
        else:
            if local is None:
                difference = problem.gradient(weight + 0.01 * direction) - gradient
                local = np.linalg.norm(difference) / (0.01 * np.sqrt(length))
            else:
                local = np.clip(gap**2 / (2 * (losses[-2] - losses[-1]) * length), 0.9 * local, local)
            while True:
                size = min(1, gap / (local * length))
                model = losses[-1] - size * gap + size**2 * local * length / 2
                if problem.loss(weight + size * direction) <= model + 1e-15:
                    break
                local *= 2
        weight = weight + size * direction
        sizes.append(size)
        losses.append(problem.loss(weight))
        gaps.append(problem.gap(weight))
    return losses, gaps, sizes, weight


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("shape", [(14, 10), (7, 12)])
def test_every_rule_is_the_dense_method(rule: str, shape: tuple[int, int]) -> None:
    problem = data(*shape)
    losses, gaps, sizes, weight = dense_frank_wolfe(problem, rule, 25)
    found = problem.complete(rule=rule, steps=25, oracle_tolerance=1e-11)
    np.testing.assert_allclose(found.losses, losses, rtol=1e-6)
    np.testing.assert_allclose(found.gaps, gaps, rtol=1e-6)
    np.testing.assert_allclose(found.step_sizes, [*sizes, 0], rtol=1e-6)
    np.testing.assert_allclose(found.matrix(), weight, atol=1e-6)
    assert found.status == "steps"
    assert found.gradients == found.lmo_calls == 26


@pytest.mark.parametrize("shape", [(1, 6), (6, 1), (1, 1)])
def test_a_single_row_or_column_is_no_special_case(shape: tuple[int, int]) -> None:
    problem = data(*shape, share=0.5)
    losses, *_ = dense_frank_wolfe(problem, "exact", 8)
    found = problem.complete(steps=8, oracle_tolerance=1e-11).losses  # ends where rounding leaves no step
    np.testing.assert_allclose(found, losses[: len(found)], rtol=1e-8, atol=1e-14)
    assert found[-1] == pytest.approx(losses[-1], rel=1e-8, abs=1e-14)


@lru_cache
def nearly_best(share: float) -> float:
    return data(share=share).complete(steps=1000).losses[-1]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("share", [0.3, 1.0, 3.0])
def test_gap_certifies_the_loss(rule: str, share: float) -> None:
    problem = data(share=share)
    found = problem.complete(rule=rule, steps=60)
    assert all(loss - nearly_best(share) <= gap + 1e-15 for loss, gap in zip(found.losses, found.gaps, strict=True))
    assert found.gaps[-1] == pytest.approx(problem.gap(found.matrix().numpy()), rel=0.5, abs=1e-15)


@pytest.mark.parametrize("oracle_tolerance", [1e-6, 0.5, 1e6])
@pytest.mark.parametrize("rule", ["exact", "adaptive", "open-loop"])
def test_stop_at_the_gap_is_true_by_the_dense_svd(rule: str, oracle_tolerance: float) -> None:
    problem = data()
    goal = 0.02 * problem.loss(np.zeros(problem.full.shape))
    found = problem.complete(rule=rule, gap_tolerance=goal, oracle_tolerance=oracle_tolerance, steps=3000)
    assert found.status == "gap"
    true = problem.gap(found.matrix().numpy())
    assert true <= found.gaps[-1] * (1 + 1e-9)
    assert found.gaps[-1] <= goal
    assert found.lmo_calls > found.gradients  # The stop was checked.
    assert found.step_sizes[-1] == 0


def test_stop_is_checked_when_the_oracle_is_fooled(monkeypatch: pytest.MonkeyPatch) -> None:
    """An oracle trapped at the smallest singular value claims gaps far too small."""
    problem, honest = data(), oracle.leading_pair
    monkeypatch.setattr(oracle, "MEMORY", 0.0)
    monkeypatch.setattr(oracle, "FRESH", 0.0)

    def trapped(
        times: Callable[..., Any], transposed: Callable[..., Any], start: torch.Tensor, tolerance: float
    ) -> Any:
        pair = honest(times, transposed, start, tolerance)
        fresh = abs(float(start.norm()) - 1) > 1e-6 and bool(start.any())  # as is the check's start alone
        return pair if fresh else LeadingPair(pair.left, pair.value / 1e3, pair.right, pair.residual, 0)

    monkeypatch.setattr(oracle, "leading_pair", trapped)
    goal = 0.05 * problem.loss(np.zeros(problem.full.shape))
    found = problem.complete(rule="exact", gap_tolerance=goal, steps=2000)
    assert found.status == "gap"
    assert problem.gap(found.matrix().numpy()) <= goal


@pytest.mark.parametrize("rule", ["short", "exact", "adaptive"])
def test_loss_never_rises(rule: str) -> None:
    for share in (0.3, 1.0, 3.0):
        losses = data(share=share).complete(rule=rule, steps=150).losses
        assert (np.diff(losses) <= 1e-14).all()


def test_exact_step_is_the_best_on_the_segment() -> None:
    problem = data()
    short, long = (problem.complete(steps=steps, oracle_tolerance=1e-11) for steps in (5, 6))
    here, there = short.matrix().numpy(), long.matrix().numpy()
    assert all(problem.loss(here + t * (there - here)) >= long.losses[-1] - 1e-15 for t in (0.8, 0.99, 1.01, 1.2))


def test_weight_is_in_the_ball_and_its_pieces_agree() -> None:
    problem = data(share=0.4)
    found = problem.complete(rule="adaptive", steps=40)
    dense = found.matrix().numpy()
    assert np.linalg.norm(dense, "nuc") <= problem.radius * (1 + 1e-12)
    assert float(found.weights.sum()) <= problem.radius * (1 + 1e-12)
    assert bool((found.weights > 0).all())
    np.testing.assert_allclose(torch.linalg.vector_norm(found.left, dim=0), 1, rtol=1e-14)
    np.testing.assert_allclose(torch.linalg.vector_norm(found.right, dim=0), 1, rtol=1e-14)
    assert found.losses[-1] == pytest.approx(problem.loss(dense), rel=1e-12)
    rows, columns = [3, 0, 3, 13], [1, 9, 1, 0]
    np.testing.assert_allclose(found.entries(rows, columns), dense[rows, columns], rtol=1e-12)


def test_lists_have_an_entry_a_gradient_and_counts_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    calls, honest = [], oracle.leading_pair

    def counted(*arguments: Any) -> Any:
        calls.append(honest(*arguments))
        return calls[-1]

    monkeypatch.setattr(oracle, "leading_pair", counted)
    found = data().complete(gap_tolerance=0.1, steps=200)
    lists = (found.losses, found.gaps, found.step_sizes, found.products, found.seconds)
    assert {len(x) for x in lists} == {found.gradients}
    assert found.lmo_calls == len(calls)
    assert sum(found.products) == sum(pair.products for pair in calls)
    assert found.seconds == sorted(found.seconds)


def test_order_and_kind_of_the_input_do_not_matter() -> None:
    problem = data()
    rows, columns, values = problem.entries
    order = np.random.default_rng(1).permutation(len(rows))
    expected = problem.complete(steps=10).losses
    tensors = complete(
        *(torch.from_numpy(x[order]) for x in problem.entries), problem.mask.shape, problem.radius, steps=10
    )
    lists = complete(
        rows.astype(np.int32), columns.tolist(), values.tolist(), np.array(problem.mask.shape), problem.radius, steps=10
    )
    assert tensors.losses == expected
    assert lists.losses == expected


def test_running_scale_is_folded_in_before_it_vanishes(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = data().complete(steps=40)
    monkeypatch.setattr(weight, "SMALLEST_SCALE", 0.9)
    found = data().complete(steps=40)
    np.testing.assert_allclose(found.weights, expected.weights, rtol=1e-12)


def test_time_limit_stops_at_the_first_gradient_after_it() -> None:
    found = data().complete(seconds=1e-9)
    assert found.status == "seconds"
    assert found.gradients == 1
    assert len(found.weights) == 0
    assert not found.matrix().any()
    assert not found.entries([0], [0]).any()


def test_optimum_at_an_atom_is_reached_and_left_no_more() -> None:
    left, right = np.linspace(1, 2, 8), np.linspace(-1, 1, 6)
    full = np.outer(left, right)
    problem = Data(full, np.ones_like(full, dtype=bool), float(np.linalg.norm(full)))
    for rule in ("exact", "short", "adaptive"):
        found = problem.complete(rule=rule, steps=200)
        assert found.losses[-1] <= 1e-12
        assert rule != "exact" or found.status in ("gap", "stalled")
        np.testing.assert_allclose(found.matrix(), full, atol=1e-5)


def test_nothing_to_do_is_certified_at_once() -> None:
    found = complete([0, 1], [1, 0], [0.0, 0.0], (3, 2), 1.0)
    assert (found.status, found.losses, found.gaps) == ("gap", [0.0], [0.0])


BAD: list[tuple[dict[str, Any], str]] = [
    ({"rows": [], "columns": [], "values": []}, "row indices"),
    ({"rows": [0, 3]}, "row indices go from 0 to 3; expected 0 to 2"),
    ({"columns": [0, -1]}, "column indices go from -1"),
    ({"columns": [0, 0], "rows": [1, 1]}, "distinct"),
    ({"rows": [0.0, 1.0]}, "dtype float64"),
    ({"rows": [[0], [1]]}, "shape"),
    ({"rows": [0, 1, 2]}, "3 row and 2 column"),
    ({"values": [1.0]}, "expected 2 real numbers"),
    ({"values": ["a", "b"]}, "expected 2 real numbers"),
    ({"values": [1.0, float("nan")]}, "finite"),
    ({"values": [1.0, float("inf")]}, "finite"),
    ({"shape": (3, 0)}, "shape"),
    ({"shape": (3,)}, "shape"),
    ({"radius": 0.0}, "radius"),
    ({"radius": -1.0}, "radius"),
    ({"radius": float("inf")}, "radius"),
    ({"radius": float("nan")}, "radius"),
    ({"rule": "fixed"}, "Unknown step rule 'fixed'; expected one of open-loop, short, exact, adaptive"),
    ({"steps": 0}, "0 steps"),
    ({"gap_tolerance": -1.0}, "gap tolerance"),
    ({"gap_tolerance": float("nan")}, "gap tolerance"),
    ({"oracle_tolerance": 0.0}, "oracle tolerance"),
    ({"seconds": 0.0}, "time limit"),
]


@pytest.mark.parametrize(("changes", "message"), BAD)
def test_bad_input_is_refused(changes: dict[str, Any], message: str) -> None:
    arguments = {"rows": [0, 1], "columns": [0, 1], "values": [1.0, 2.0], "shape": (3, 2), "radius": 1.0, **changes}
    with pytest.raises(ColaError, match=message):
        complete(**arguments)


def test_entries_refuse_indices_outside_the_weight() -> None:
    found = data().complete(steps=2)
    with pytest.raises(ColaError, match="expected 0 to 13"):
        found.entries([14], [0])
