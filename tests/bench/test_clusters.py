"""Standard errors with answers taken together."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.clusters import clusters, gains_of, standard_error
from colarepro.errors import ColaError
from colarepro.results import compare
from colarepro.results.items import items
from tests.ledger.conftest import made


def test_items_that_are_clusters_of_one_have_the_ledgers_error() -> None:
    """Draws hold 400 of 500 rows, so that two share most and not all."""
    first, second = (
        made(arm, accuracy, items=500, test_examples=400) for arm, accuracy in (("cola, length 2", 0.7), ("lora", 0.6))
    )
    for record in (*first, *second):
        for answers in record.predictions.values():
            del answers[400:]
    pools = {"rte": 500}
    gains, rows = gains_of(first, second), [items(record, pools) for record in first]
    ledger = compare(first, second, pools, flips=0).standard_error
    assert standard_error(gains, rows, 500) == pytest.approx(ledger, rel=0.01)


def test_answers_of_one_kind_in_a_cluster_widen_the_error() -> None:
    rng = np.random.default_rng(0)
    of = [rng.integers(0, 20, 1000) for _ in range(5)]
    gains = [np.where(numbers < 10, 1.0, 0.0) for numbers in of]
    alone = [np.arange(1000) for _ in range(5)]
    assert standard_error(gains, of, 20) == pytest.approx(100 * 0.5 / np.sqrt(20), rel=0.1)
    assert standard_error(gains, alone, 1000) < 3


def test_rows_belong_to_questions_and_passages(tmp_path: Path) -> None:
    path = tmp_path / "val.jsonl"
    with pytest.raises(ColaError, match=r"val\.jsonl could not be read: No such file"):
        clusters(path)
    passages = [[2, 1], [3]]  # answers by question
    lines = [{"passage": {"questions": [{"answers": [{}] * count} for count in counts]}} for counts in passages]
    path.write_text("\n".join(map(json.dumps, lines)) + "\n")
    assert [numbers.tolist() for numbers in clusters(path)] == [[0, 0, 1, 2, 2, 2], [0, 0, 0, 1, 1, 1]]
