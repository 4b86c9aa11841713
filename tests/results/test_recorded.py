"""The records that come with the repository."""

from pathlib import Path

import pytest

from colarepro.results import Record, Store
from colarepro.runs import RunConfig

FOLDER = Path(__file__).parents[2] / "data" / "results"
RECORDS = list(Store(FOLDER))


def identity(record: Record) -> str:
    return record.identity


@pytest.mark.parametrize("record", RECORDS, ids=identity)
def test_its_name_is_its_question(record: Record, miniature: Path) -> None:
    """In the fields that questions have today, or a run of it would not be found."""
    assert (FOLDER / f"{record.identity}.json").exists()
    asked = record.config
    today = RunConfig(task=asked["task"], method=asked["method"], data_dir=miniature).question()
    assert set(asked) == set(today)
    for part in ("adapter", "chain"):
        assert set(asked.get(part, {})) == set(today.get(part, {}))


@pytest.mark.parametrize("record", RECORDS, ids=identity)
def test_its_score_is_that_of_its_predictions(record: Record) -> None:
    pairs = zip(record.predictions["test"], record.predictions["test_labels"], strict=True)
    hits = [said == true for said, true in pairs]
    assert record.scores["test_accuracy"] == pytest.approx(sum(hits) / len(hits))
