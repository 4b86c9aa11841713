"""The records that come with the repository."""

from pathlib import Path

import pytest

from colarepro.results import Record, Store
from colarepro.runs import RunConfig

FOLDER = Path(__file__).parents[2] / "data" / "results"
RECORDS = list(Store(FOLDER))
WATCHED = {"anatomy": ("sample", "text")}
"""What a question of that kind asks beside the run."""


def test_they_are_packed_and_small() -> None:
    assert len(RECORDS) >= 300
    assert not list(FOLDER.rglob("*.json"))
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) < 30e6


def test_each_answers_a_question_in_the_fields_that_questions_have_today(miniature: Path) -> None:
    """Or a run of it would not be found."""
    today: dict[tuple[str, str], dict[str, object]] = {}
    for record in RECORDS:
        asked, arm = record.config, (record.config["task"], record.config["method"])
        if arm not in today:
            today[arm] = RunConfig(task=arm[0], method=arm[1], data_dir=miniature).question()
        assert set(asked) - set(WATCHED.get(record.kind, ())) == set(today[arm])
        for part in ("adapter", "chain"):
            assert set(asked.get(part, {})) == set(today[arm].get(part, {}))  # type: ignore[call-overload]


def test_each_score_is_that_of_the_predictions() -> None:
    def share(record: Record, split: str) -> float:
        pairs = zip(record.predictions[split], record.predictions["test_labels"], strict=True)
        return sum(said == true for said, true in pairs) / len(record.predictions[split])

    for record in RECORDS:
        if record.status == "done":
            assert record.scores["test_accuracy"] == pytest.approx(share(record, "test"))


def test_each_epochs_best_score_is_on_its_curve() -> None:
    """Though curves were rounded and scores were not."""
    for record in RECORDS:
        if "best_step" in record.scores:
            best = record.curves["dev_step"].index(record.scores["best_step"])
            for name in ("dev_loss", "dev_accuracy"):
                assert record.curves[name][best] == pytest.approx(record.scores[name], rel=1e-5)
