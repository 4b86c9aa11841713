"""Items by their row in the validation split, against the draw that tasks make."""

from pathlib import Path

import numpy as np
import pytest

from colarepro.errors import ColaError
from colarepro.results import Record
from colarepro.results.items import common_items, items
from colarepro.tasks import draw, load_examples, load_task


def drawn(task: str, data: Path, seed: int, asked: int) -> tuple[Record, list[str]]:
    """A record of answers to this draw, and the identities of what was asked."""
    test = draw(load_task(task), data, seed=seed, train=20, dev=10, test=asked).test
    labels = [example.label for example in test]
    config = {"task": task, "data_seed": seed, "test_examples": asked}
    record = Record("llm", config, predictions={"test": labels, "test_labels": labels})
    return record, [example.identity for example in test]


@pytest.mark.parametrize("asked", [20, 1000])
def test_rows_are_those_that_were_drawn(asked: int, miniature: Path) -> None:
    rows = [example.identity for example in load_examples(load_task("rte"), "validation", miniature)]
    assert 20 < len(rows) < 1000
    for seed in (0, 3):
        record, identities = drawn("rte", miniature, seed, asked)
        found = items(record, {"rte": len(rows)})
        assert found is not None
        assert [rows[row] for row in found] == identities


def test_a_part_of_an_unknown_split_counts_as_items_of_its_own(miniature: Path) -> None:
    records = [drawn("rte", miniature, seed, 20)[0] for seed in range(2)]
    assert items(records[0]) is None
    assert np.concatenate(common_items(records)).tolist() == list(range(40))


def test_labels_that_disagree_are_refused(miniature: Path) -> None:
    records = [drawn("rte", miniature, seed, 1000)[0] for seed in range(2)]
    assert len(common_items(records)) == 2
    records[1].predictions["test_labels"] = [1 - label for label in records[1].predictions["test_labels"]]
    with pytest.raises(ColaError, match="Draw 1 of task rte has other labels"):
        common_items(records)
    with pytest.raises(ColaError, match="5 validation rows"):
        items(drawn("rte", miniature, 0, 20)[0], {"rte": 5})
