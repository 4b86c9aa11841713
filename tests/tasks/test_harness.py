"""The files for lm-evaluation-harness; tests/models/test_lm_eval.py has it read them."""

import json
from pathlib import Path

import pytest
import yaml

from colarepro.tasks import Example, load_examples, load_task
from colarepro.tasks.harness import write_harness_task


@pytest.mark.parametrize("name", ["rte", "cb", "multirc"])
def test_the_files_hold_prompts_labels_and_verbalizers(name: str, miniature: Path, tmp_path: Path) -> None:
    task = load_task(name)
    examples = load_examples(task, "validation", miniature)[:30]
    path = write_harness_task(task, examples, tmp_path / "new")
    content = yaml.safe_load(path.read_text())
    rows = [json.loads(line) for line in Path(content["dataset_kwargs"]["data_files"]["test"]).read_text().splitlines()]
    assert path == tmp_path / "new" / f"colarepro_{name}.yaml"
    assert [(row["prompt"], row["label"]) for row in rows] == [(one.prompt, one.label) for one in examples]
    assert content["task"] == f"colarepro_{name}"
    assert content["doc_to_choice"] == list(task.verbalizers)
    assert content["target_delimiter"] == ""


def test_the_working_directory_does_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = write_harness_task(load_task("rte"), [Example("0", "Ist „é“ wahr?\n", 1, "0")], "here")
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    (row,) = Path(content["dataset_kwargs"]["data_files"]["test"]).read_text(encoding="utf-8").splitlines()
    assert json.loads(row) == {"prompt": "Ist „é“ wahr?\n", "label": 1}
    assert Path(content["dataset_kwargs"]["data_files"]["test"]).is_absolute()
