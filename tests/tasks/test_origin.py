"""The name of a task's data changes with the data, and with nothing else."""

import dataclasses
import os
import shutil
from pathlib import Path

import pytest

from colarepro.errors import ColaError
from colarepro.tasks import load_task, origin


def test_it_is_the_content_that_counts(miniature: Path, tmp_path: Path) -> None:
    task = load_task("rte")
    shutil.copytree(miniature / "RTE", tmp_path / "RTE")
    first = origin(task, miniature)
    assert origin(task, tmp_path) == first
    os.utime(tmp_path / "RTE" / "train.jsonl")
    assert origin(task, tmp_path) == first
    with (tmp_path / "RTE" / "train.jsonl").open("a") as file:
        file.write("\n")
    assert origin(task, tmp_path) != first
    assert origin(dataclasses.replace(task, template=task.template + " "), miniature) != first
    assert origin(dataclasses.replace(task, home=tmp_path), miniature) == first


def test_of_the_hub_the_commit_counts() -> None:
    task = load_task("rte")
    assert task.hub is not None
    other = dataclasses.replace(task, hub=dataclasses.replace(task.hub, revision="0" * 40))
    assert origin(task) != origin(other)
    assert origin(task) == origin(load_task("rte"))


def test_missing_data_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ColaError, match=r"RTE/train\.jsonl of task rte could not be read: No such file"):
        origin(load_task("rte"), tmp_path)
