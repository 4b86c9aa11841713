"""Task files: the shipped ones are whole, a user's own is checked."""

from pathlib import Path

import pytest
import yaml

from colarepro.errors import ColaError
from colarepro.tasks import known_tasks, load_task

OWN = {
    "name": "mine",
    "folder": "Mine",
    "files": {"train": "a.jsonl", "validation": "b.jsonl"},
    "layout": "jsonl",
    "template": "{text}\n",
    "verbalizers": ["Yes", "No"],
    "labels": [["a"], ["b"]],
}


def test_the_papers_seven_tasks_are_there_with_pinned_commits() -> None:
    assert known_tasks() == ["boolq", "cb", "multirc", "rte", "sst2", "wic", "wsc"]
    for name in known_tasks():
        task = load_task(name)
        assert task.name == name
        assert task.hub is not None
        assert len(bytes.fromhex(task.hub.revision)) == 20
        assert not any(verbalizer.endswith(" ") for verbalizer in task.verbalizers)


def test_an_unknown_name_lists_the_known() -> None:
    with pytest.raises(ColaError, match=r"Unknown task 'rtee'; known are boolq, cb, .*wsc\."):
        load_task("rtee")


def test_a_users_own_file_works(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(OWN))
    task = load_task(path)
    assert (task.name, task.verbalizers, task.metrics, task.columns) == ("mine", ("Yes", "No"), ("accuracy",), ["text"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"layout": "xml"}, "layout 'xml' is none of"),
        ({"metrics": ["bleu"]}, "metric 'bleu' is none of"),
        ({"transforms": {"text": "upper"}}, "transform 'upper' is none of"),
        ({"verbalizers": ["Yes", "Yes"]}, "two or more different"),
        ({"labels": [["a"]]}, "two or more different"),
        ({"template": "none"}, "names no column"),
        ({"files": {"train": "a"}}, "'files' lacks 'validation'"),
        ({"verbaliser": []}, "unknown key 'verbaliser'"),
        ({"hub": {"dataset": "x"}}, "config"),
    ],
)
def test_a_file_that_describes_no_task_is_refused(change: dict[str, object], said: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(OWN | change))
    with pytest.raises(ColaError, match=said):
        load_task(path)


@pytest.mark.parametrize("text", ["[1, 2]", "a: [", "\tx: 1"])
def test_a_file_that_is_no_mapping_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(ColaError, match=r"Task file .*mine\.yaml"):
        load_task(tmp_path / "mine.yaml")
    with pytest.raises(ColaError, match=r"other\.yaml could not be read"):
        load_task(tmp_path / "other.yaml")
