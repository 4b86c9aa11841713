"""``colarepro anatomy``: what a user types and sees."""

import sys
from pathlib import Path

import pytest

from colarepro.anatomy.__main__ import main
from colarepro.errors import ColaError
from colarepro.results import Store


def call(monkeypatch: pytest.MonkeyPatch, *words: object) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(sys, "argv", ["colarepro anatomy", *map(str, words)])
    main()


def test_arms_side_by_side_once_and_a_failure_that_stops_nothing(
    untrained: str, miniature: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text.txt").write_text("The cat is on the mat. " * 30)
    options = {
        "--model": untrained,
        "--data-dir": miniature,
        "--dtype": "float32",
        "--max-steps": 2,
        "--sample": 8,
        "--text": tmp_path / "text.txt",
        "--text-tokens": 100,
        "--window": 50,
        "--device": "cpu",
        "--output": tmp_path / "records",
    }
    words = [word for pair in options.items() for word in pair]
    run = ["--task", "rte", "--draw", 0, "--jobs", 2, *words]
    with pytest.raises(ColaError, match="Some runs failed, for the reasons above"):
        call(monkeypatch, *run, "--arm", "cola-2", "cola-3")
    shown = capsys.readouterr().out
    assert "done" in shown
    assert "A chain of 3 links needs as many steps, but the run has 2." in shown
    records = {record.config["chain"]["length"]: record for record in Store(tmp_path / "records")}
    assert {length: record.status for length, record in records.items()} == {2: "done", 3: "failed"}
    assert records[2].kind == "anatomy"
    assert records[2].curves["knots"] == [1]

    path = Store(tmp_path / "records").path("anatomy", records[2].config)
    written = path.stat().st_mtime_ns
    call(monkeypatch, *run, "--arm", "cola-2")
    assert path.stat().st_mtime_ns == written


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--arm", "colla"], "Unknown arm 'colla'; expected some of lora, cola-2, cola-3, lora-rank-sum-2"),
        (["--sample", "0"], "sample is 0; expected 2 or more"),
        (["--jobs", "-1"], "jobs is -1; expected 0 or more"),
        (["--text", "nowhere.txt"], r"The text nowhere\.txt could not be read"),
    ],
)
def test_what_is_refused(words: list[str], reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.load_dataset", lambda *_, **__: {"text": ["some", "text"]})
    with pytest.raises(ColaError, match=reason):
        call(monkeypatch, "--device", "cpu", *words)
