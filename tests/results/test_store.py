import json
import os
from pathlib import Path

import pytest

from colarepro.files import written_aside
from colarepro.results import Record, Store


def record(**config: object) -> Record:
    return Record(kind="llm", config={"task": "rte", **config}, scores={"accuracy": 0.5})


def test_a_record_comes_back_as_it_was(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.put(record(seed=1))
    assert store.get("llm", {"task": "rte", "seed": 1}) == record(seed=1)
    assert list(store) == [record(seed=1)]


def test_the_identity_is_the_question_and_not_the_answer() -> None:
    first, second = record(seed=1), Record("llm", {"seed": 1, "task": "rte"}, status="failed", reason="x")
    assert first.identity == second.identity
    assert first.identity != record(seed=2).identity
    assert first.identity != Record("theory", first.config).identity
    assert record(ranks=(8, 2)).identity == record(ranks=[8, 2]).identity  # JSON knows no tuples


def test_numbers_that_are_not_finite_become_null(tmp_path: Path) -> None:
    path = Store(tmp_path).put(Record("theory", {}, curves={"excess": [1.0, float("nan")]}))
    assert json.loads(path.read_text())["curves"]["excess"] == [1.0, None]


def test_predictions_are_written_as_digits_where_one_is_enough(tmp_path: Path) -> None:
    predictions = {"test": [0, 1, 1, 0], "many": [0, 9, 10], "none": []}
    path = Store(tmp_path).put(Record("llm", {}, predictions=predictions))
    assert json.loads(path.read_text())["predictions"] == {"test": "0110", "many": [0, 9, 10], "none": ""}
    assert Store(tmp_path).get("llm", {}) == Record("llm", {}, predictions=predictions)


def test_records_with_lists_of_predictions_are_still_read(tmp_path: Path) -> None:
    path = Store(tmp_path).put(Record("llm", {}))
    path.write_text(json.dumps({"kind": "llm", "config": {}, "predictions": {"test": [1, 0]}}))
    assert Store(tmp_path).get("llm", {}) == Record("llm", {}, predictions={"test": [1, 0]})


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "figure.csv"
    path.write_text("old")

    def half_written() -> None:
        with written_aside(path) as aside:
            aside.write_text("ne")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        half_written()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_vanishes_while_it_is_read_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a checkpoint of another run does, which has ended."""
    store = Store(tmp_path)
    store.put(record(seed=1))
    (tmp_path / "unfinished" / "checkpoint-6").mkdir(parents=True)
    scandir = os.scandir

    def vanished(path: str) -> object:
        if str(path).endswith("checkpoint-6"):
            raise FileNotFoundError(path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", vanished)
    assert list(Store(tmp_path)) == [record(seed=1)]
    assert store.get("llm", {"task": "rte", "seed": 2}) is None
