"""Rows from a hub, simulated, and what is said when there are none."""

from pathlib import Path

import datasets
import pytest
from datasets.exceptions import DatasetNotFoundError
from huggingface_hub.errors import GatedRepoError

from colarepro.errors import ColaError
from colarepro.tasks import load_examples, load_task
from tests.tasks.official import ROWS, write


def test_hub_rows_give_the_same_examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub's copy has integers for labels; BoolQ's run against our order, since False is 0 there."""
    asked = []

    def load_dataset(name: str, config: str, revision: str, split: str) -> list[dict[str, object]]:
        asked.append((name, config, len(revision), split))
        return [row | {"label": int(row["label"])} for row in ROWS["boolq"]]

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    task = write(tmp_path, "boolq")
    assert load_examples(task, "train") == load_examples(task, "train", tmp_path)
    assert asked == [("aps/super_glue", "boolq", 40, "train")]


class Refusal(GatedRepoError):
    """Without the HTTP response that its parent is made of."""

    def __init__(self) -> None:
        OSError.__init__(self, "403\nlog in")


def wrapped() -> DatasetNotFoundError:
    """As `datasets` hands it on."""
    try:
        raise DatasetNotFoundError("many\nlines") from Refusal()
    except DatasetNotFoundError as error:
        return error


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (Refusal(), "Dataset aps/super_glue is gated: ask for access on its hub page and log in .*;"),
        (wrapped(), "Dataset aps/super_glue is gated: ask for access on its hub page and log in .*;"),
        (DatasetNotFoundError("no\nsuch"), r"could not be read from the hub at 3de24cf \(DatasetNotFoundError\);"),
        (ConnectionError("many\nlines"), r"could not be read from the hub at 3de24cf \(ConnectionError\);"),
    ],
)
def test_a_hub_that_gives_nothing_is_one_sentence(error: Exception, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(datasets, "load_dataset", refuse)
    with pytest.raises(
        ColaError, match=said + " without it, task rte needs a data folder that holds RTE/train.jsonl"
    ) as caught:
        load_examples(load_task("rte"), "train")
    assert "\n" not in str(caught.value)
