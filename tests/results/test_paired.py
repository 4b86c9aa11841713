"""Paired comparisons against plain loops, SciPy, enumeration and simulated campaigns."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from colarepro.errors import ColaError
from colarepro.results import Comparison, Record, average, compare, holm
from colarepro.results.crossed import Crossed, share_as_large

ITEMS = 30


def arm(right: np.ndarray, seed: int = 0, asked: int = 1000, pool: int | None = None) -> list[Record]:
    """Records of one arm, a draw a row; ``right`` has a column for every row of the validation split."""
    labels = np.random.default_rng(seed).integers(0, 2, right.shape[1])
    records = []
    for draw, answers in enumerate(right):
        order = np.random.RandomState(draw).permutation(pool or right.shape[1])[:asked]
        said = np.where(answers, labels, 1 - labels)[order]
        config = {"task": "rte", "seed": draw, "data_seed": draw, "test_examples": asked}
        predictions = {"test": said.tolist(), "test_labels": labels[order].tolist()}
        records.append(Record("llm", config, predictions=predictions, digests={"test": f"set {draw}"}))
    return records


def answers(draws: int = 5, items: int = ITEMS, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Right or wrong of two arms; items differ in how hard they are, and draws in how well they went."""
    random = np.random.default_rng(seed)
    hard, lucky = random.normal(0, 1, items), random.normal(0, 0.7, (2, draws, 1))
    first, second = (random.normal(0, 1, (draws, items)) + hard + lucky[arm] > -0.2 * arm for arm in (1, 0))
    return first, second


def by_loops(rows: list[dict[int, float]]) -> tuple[float, float, float]:
    """Difference, standard error and degrees of freedom from gains by item, a mapping a draw; with plain loops."""
    means = [sum(row.values()) / len(row) for row in rows]
    draws = len(rows)
    mean = sum(means) / draws
    between = sum((value - mean) ** 2 for value in means) / (draws - 1) / draws
    covariances = []
    for (one, m), (other, n) in itertools.combinations(zip(rows, means, strict=True), 2):
        common = set(one) & set(other)
        total = sum(one[item] * other[item] for item in common) - len(common) * m * n
        covariances.append(total / (len(one) * len(other) - len(common)))
    variance = between + max(sum(covariances) / len(covariances), 0)
    return mean, variance**0.5, variance**2 / (between**2 / (draws - 1))


def test_a_test_set_that_recurs_has_the_variance_of_crossed_draws_and_items() -> None:
    """Mean squares of the two-way layout by their textbook formulas; the order within a draw plays no role."""
    first, second = answers()
    gain = first.astype(float) - second
    found = compare(arm(first), arm(second))
    draws, items = gain.shape
    effect = gain.mean(axis=1, keepdims=True), gain.mean(axis=0, keepdims=True)
    of_draws = items * effect[0].var(ddof=1)
    of_items = draws * effect[1].var(ddof=1)
    left = ((gain - effect[0] - effect[1] + gain.mean()) ** 2).sum() / (draws - 1) / (items - 1)
    assert of_items > left  # or the next line would not test the items' part
    assert found.standard_error == pytest.approx(100 * ((of_draws + of_items - left) / gain.size) ** 0.5)
    assert found.degrees == pytest.approx((of_draws + of_items - left) ** 2 / (of_draws**2 / (draws - 1)))
    assert found.difference == pytest.approx(100 * gain.mean())
    assert (found.draws, found.items, found.answers) == (5, ITEMS, 5 * ITEMS)


def test_test_sets_that_overlap_in_part() -> None:
    first, second = answers(items=200, seed=1)
    pools = {"rte": 200}
    found = compare(arm(first, asked=90), arm(second, asked=90), pools)
    rows = []
    for draw in range(5):
        order = np.random.RandomState(draw).permutation(200)[:90]
        rows.append({int(item): float(first[draw, item]) - float(second[draw, item]) for item in order})
    assert (found.difference / 100, found.standard_error / 100, found.degrees) == pytest.approx(by_loops(rows))
    assert found.items == len(set().union(*rows)) < 5 * 90


def test_items_of_an_unknown_split_leave_the_draws_means_as_scipy_takes_them() -> None:
    first, second = answers(items=200, seed=2)
    found = compare(arm(first, asked=90), arm(second, asked=90))
    means = [
        [np.equal(r.predictions["test"], r.predictions["test_labels"]).mean() for r in arm(right, asked=90)]
        for right in (first, second)
    ]
    expected = stats.ttest_rel(*means)
    assert (found.low / 100, found.high / 100) == pytest.approx(tuple(expected.confidence_interval()))
    assert found.degrees == pytest.approx(4)
    assert average([found]).p == pytest.approx(expected.pvalue)


def test_p_is_the_share_of_all_sign_flips() -> None:
    """Eleven answers differ: all 2048 patterns, each judged by the plain loops."""
    gain = np.zeros((3, 7))
    gain[[0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2], [0, 1, 2, 3, 0, 1, 4, 5, 1, 2, 6]] = [1, 1, 1, -1, 1, 1, 1, 1, 1, 1, -1]

    def statistic(values: np.ndarray) -> float:
        mean, error, _ = by_loops([dict(enumerate(row)) for row in values.tolist()])
        return 0.0 if mean == 0 else abs(mean) / error if error else np.inf

    places = np.nonzero(gain)
    larger = 0
    for signs in itertools.product((-1, 1), repeat=11):
        flipped = gain.copy()
        flipped[places] *= signs
        larger += statistic(flipped) >= statistic(gain) - 1e-12
    found = compare(arm(gain == 1, seed=3), arm(gain == -1, seed=3), flips=9999)
    assert found.p == pytest.approx(larger / 2**11, abs=0.02)


def test_turned_round_it_says_the_opposite() -> None:
    first, second = answers()
    there, back = compare(arm(first), arm(second)), compare(arm(second), arm(first))
    assert (back.low, back.high) == pytest.approx((-there.high, -there.low))
    assert back.p == pytest.approx(there.p)


def test_equal_answers_differ_by_nothing() -> None:
    first, _ = answers()
    found = compare(arm(first), arm(first))
    assert (found.low, found.high, found.p, found.detectable()) == (0, 0, 1, 0)


def test_one_draw_says_nothing_of_draws() -> None:
    first, second = answers(draws=1)
    found = compare(arm(first), arm(second))
    assert found.difference == pytest.approx(100 * (first.mean() - second.mean()))
    assert np.isnan([found.low, found.high, found.p, found.detectable()]).all()
    assert np.isnan(average([found, found]).p)


def test_an_arm_without_seeds_pairs_by_its_data() -> None:
    first, second = answers()
    unseeded = [
        replace(record, config={k: v for k, v in record.config.items() if k != "seed"}) for record in arm(second)
    ]
    assert compare(arm(first), unseeded) == compare(arm(first), arm(second))
    assert compare(arm(first)[1:], unseeded[:4]).draws == 3


def test_an_arm_without_seeds_pairs_with_every_seed_of_the_other_on_either_side() -> None:
    first, second = answers(draws=2)
    unseeded = [
        replace(record, config={k: v for k, v in record.config.items() if k != "seed"}) for record in arm(second)
    ]
    seeded = [
        replace(record, config=record.config | {"seed": seed}, predictions=other.predictions)
        for seed, right in enumerate((first, second, ~first))
        for record, other in zip(arm(first), arm(right), strict=True)
    ]
    there, back = compare(seeded, unseeded), compare(unseeded, seeded)
    mean = (first.mean() + second.mean() + (~first).mean()) / 3
    assert there.difference == pytest.approx(100 * (mean - second.mean()))
    assert (there.draws, there.answers) == (6, 6 * ITEMS)
    assert (back.draws, back.answers, back.difference) == (6, 6 * ITEMS, pytest.approx(-there.difference))
    assert back.p == pytest.approx(there.p)


def test_a_draw_that_an_arm_has_twice_is_refused() -> None:
    """Another learning rate's, for example."""
    first, second = answers()
    twice = [*arm(first), *(replace(r, config=r.config | {"learning_rate": 1e-3}) for r in arm(first)[:1])]
    for one, other in ((twice, arm(second)), (arm(second), twice)):
        with pytest.raises(ColaError, match=rf"{twice[0].identity} and {twice[-1].identity} .* of the same draw"):
            compare(one, other)


def test_a_draw_without_answers_is_refused() -> None:
    """As a diverged run is, or one that was not trained where the last epoch is asked for; a draw of one arm alone is
    not."""
    first, second = answers()
    diverged = replace(arm(first)[1], status="diverged", predictions={})
    for one, other in (([arm(first)[0], diverged], arm(second)), (arm(second), [arm(first)[0], diverged])):
        with pytest.raises(ColaError, match=rf"{diverged.identity} has no answers 'test' \(the run is diverged\)"):
            compare(one, other)
    assert compare([*arm(first)[:1], diverged], arm(second)[:1]).draws == 1
    with pytest.raises(ColaError, match="has no answers 'test_last'"):
        compare(arm(first), arm(second), split="test_last")


def test_other_test_sets_are_refused() -> None:
    first, second = answers()
    other = [replace(record, digests={"test": "else"}) for record in arm(second)]
    with pytest.raises(ColaError, match="different test sets"):
        compare(arm(first), other)
    with pytest.raises(ColaError, match="no draw in common"):
        compare(arm(first)[:2], arm(second)[2:])


@pytest.mark.parametrize("tests", [1, 2, 7])
def test_the_detectable_difference_is_found_four_times_in_five(tests: int) -> None:
    """At Bonferroni's level, with the noncentral t of SciPy; the shifted t that is used differs little from it."""
    found = Comparison(0.0, 1.3, 12.0, 1.0, 5, 277, 1385)
    power = stats.nct.sf(stats.t.ppf(1 - 0.05 / 2 / tests, 12), 12, found.detectable(tests) / 1.3)
    assert power == pytest.approx(0.8, abs=0.02)
    assert found.detectable() == found.detectable(1)


@pytest.mark.parametrize("tail", [0.025, 0.025 / 7, 0.1])
def test_an_interval_of_any_level_is_scipys(tail: float) -> None:
    found = Comparison(1.5, 1.3, 5.5, 1.0, 5, 277, 1385)
    low, high = stats.t.interval(1 - 2 * tail, 5.5, loc=1.5, scale=1.3)
    assert (found.end(-1, tail), found.end(1, tail)) == pytest.approx((low, high))
    assert (found.low, found.high) == (found.end(-1, 0.025), found.end(1, 0.025))


def test_the_average_over_tasks() -> None:
    """Equal standard errors on equal degrees of freedom are those of one larger t test."""
    tasks = [Comparison(difference, 2.0, 4.0, 0.5, 5, 100, 500) for difference in (1.0, 2.0, 6.0)]
    found = average(tasks)
    assert found.difference == pytest.approx(3)
    assert found.standard_error == pytest.approx(2 / 3**0.5)
    assert found.degrees == pytest.approx(12)
    assert found.p == pytest.approx(2 * stats.t.sf(3 / (2 / 3**0.5), 12))


def test_holm_rejects_what_its_steps_reject() -> None:
    p = [0.01, 0.04, float("nan"), 0.03, 0.005, 0.6]
    adjusted = holm(p)
    assert np.isnan(adjusted[2])
    for level in (0.02, 0.045, 0.05, 0.1, 0.2, 0.7):
        rejected = set()
        for left, place in zip(range(5, 0, -1), np.argsort(p)[:5], strict=True):
            if p[place] > level / left:
                break
            rejected.add(int(place))
        assert {i for i in range(6) if adjusted[i] <= level} == rejected


@pytest.mark.parametrize(("of_draws", "of_items"), [(0.0, 0.0), (0.1, 0.0), (0.0, 0.3), (0.1, 0.3)])
def test_simulated_campaigns(of_draws: float, of_items: float) -> None:
    """Five draws, 56 items, no true difference: intervals hold 0 in 90 to 99 of 100 campaigns, and p > 0.05 in as many.
    Flipped answers that are not divided by their error fail where draws differ."""
    random = np.random.default_rng(5)
    draw, item = np.repeat(np.arange(5), 56), np.tile(np.arange(56), 5)
    held = kept = plain = 0
    for _ in range(400):
        lean = of_draws * random.normal(size=(5, 1)) + of_items * random.normal(size=(1, 56))
        chance = random.random((5, 56))
        gain = (chance < 0.15 + lean / 2).astype(int) - (chance > 0.85 + lean / 2)
        crossed = Crossed(gain.ravel(), draw, item)
        signs = random.integers(0, 2, (200, np.count_nonzero(gain))) * 2 - 1
        signs[0] = 1
        mean, error, degrees = crossed.moments(signs)
        held += abs(mean[0]) <= stats.t.ppf(0.975, degrees[0]) * error[0]
        kept += share_as_large(mean, error) > 0.05
        plain += share_as_large(mean, np.ones_like(mean)) > 0.05
    assert 0.90 <= held / 400 <= 0.99
    assert 0.90 <= kept / 400 <= 0.99
    assert of_draws == 0 or plain / 400 < 0.87
