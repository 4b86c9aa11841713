"""Scores against scikit-learn's, and against counting by hand."""

import numpy as np
import pytest

from colarepro.errors import ColaError
from colarepro.tasks import Example, load_task, scores

metrics = pytest.importorskip("sklearn.metrics")


def examples(labels: list[int], groups: list[str] | None = None) -> list[Example]:
    return [Example(str(i), "", label, groups[i] if groups else str(i)) for i, label in enumerate(labels)]


@pytest.mark.parametrize("seed", range(5))
def test_scores_equal_scikit_learns(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth, predicted = rng.integers(0, 3, 40).tolist(), rng.integers(0, 2 + seed % 2, 40).tolist()
    cb = scores(load_task("cb"), examples(truth), predicted)
    assert cb["accuracy"] == pytest.approx(metrics.accuracy_score(truth, predicted))
    assert cb["macro_f1"] == pytest.approx(metrics.f1_score(truth, predicted, average="macro", zero_division=0))

    truth, predicted = rng.integers(0, 2, 40).tolist(), rng.integers(0, 2, 40).tolist()
    assert scores(load_task("multirc"), examples(truth), predicted)["f1a"] == pytest.approx(
        metrics.f1_score(truth, predicted)
    )


def test_a_label_that_nobody_gives_does_not_count() -> None:
    """Neither the truth nor the predictions hold "neutral" here, as in small draws of CB."""
    truth, predicted = [0, 1, 1], [0, 0, 1]
    assert scores(load_task("cb"), examples(truth), predicted)["macro_f1"] == pytest.approx(
        metrics.f1_score(truth, predicted, average="macro")
    )


def test_exact_match_asks_for_every_answer_of_a_question() -> None:
    asked = examples([1, 0, 1, 1, 0], ["a", "a", "b", "b", "c"])
    result = scores(load_task("multirc"), asked, [1, 0, 1, 0, 0])
    assert result["exact_match"] == pytest.approx(2 / 3)
    assert result["majority"] == pytest.approx(3 / 5)


def test_no_positive_answer_is_no_division_by_zero() -> None:
    assert scores(load_task("multirc"), examples([0, 0]), [0, 0])["f1a"] == 0.0


@pytest.mark.parametrize("predictions", [[0], [0, 2], [0, -1], [0, 0, 0]])
def test_predictions_that_do_not_fit_are_refused(predictions: list[int]) -> None:
    with pytest.raises(ColaError, match=r"prediction"):
        scores(load_task("rte"), examples([0, 1]), predictions)
