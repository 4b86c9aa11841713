"""A task of one's own: a YAML file and two files of JSON lines beside it, and nothing else."""

from pathlib import Path

import pytest

from colarepro.errors import ColaError
from colarepro.tasks import Example, digest, draw, encode, load_examples, load_task, scores
from tests.tasks.test_encode import byte_level

YAML = r"""
template: "{text}\nIs this about food? Yes or No?\n"
verbalizers: ["Yes", "No"]
labels: [food, [other, none]]
files: {train: my-train.jsonl, validation: my-validation.jsonl}
"""
ROWS = """{"text": "The soup was hot.", "label": "food"}
{"text": "The train was late.", "label": "other"}
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "my.yaml").write_text(YAML)
    (tmp_path / "my-train.jsonl").write_text(ROWS)
    (tmp_path / "my-validation.jsonl").write_text(ROWS)
    return tmp_path / "my.yaml"


def test_a_yaml_file_with_its_data_beside_it_is_a_task(path: Path) -> None:
    task = load_task(str(path))
    assert (task.name, task.layout, task.hub) == ("my", "jsonl", None)
    splits = draw(task)
    assert len(splits.train) == len(splits.dev) == 1
    assert sorted(splits.test, key=lambda example: example.identity) == [
        Example("validation-0", "The soup was hot.\nIs this about food? Yes or No?\n", 0, "validation-0"),
        Example("validation-1", "The train was late.\nIs this about food? Yes or No?\n", 1, "validation-1"),
    ]
    tokenizer = byte_level()
    encoded = encode(task, splits.test, tokenizer)
    assert encoded.single_token
    for example, prompt in zip(splits.test, encoded.prompts, strict=True):
        for verbalizer, candidate in zip(("Yes", "No"), encoded.candidates, strict=True):
            assert prompt + candidate == tokenizer(example.prompt + verbalizer)["input_ids"]
    assert scores(task, splits.test, encoded.labels) == {"accuracy": 1.0, "majority": 0.5}
    assert scores(task, splits.test, [0, 0])["accuracy"] == 0.5


def test_the_working_directory_does_not_matter(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = digest(load_examples(load_task(path), "train"))
    monkeypatch.chdir(path.parent)
    assert digest(load_examples(load_task("my.yaml"), "train")) == expected


def test_a_data_folder_comes_before_the_files_beside_the_yaml(path: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "my-train.jsonl").write_text(ROWS.replace("soup", "stew"))
    examples = load_examples(load_task(path), "train", tmp_path / "elsewhere")
    assert examples[0].prompt.startswith("The stew")


def test_a_file_that_is_not_there_is_named_with_its_place(path: Path, tmp_path: Path) -> None:
    (tmp_path / "my-train.jsonl").unlink()
    with pytest.raises(ColaError, match=rf"{tmp_path}.my-train\.jsonl of task my could not be read: No such file"):
        draw(load_task(path))


def test_one_row_leaves_none_to_train_on(path: Path, tmp_path: Path) -> None:
    (tmp_path / "my-train.jsonl").write_text(ROWS.splitlines()[0])
    with pytest.raises(ColaError, match="Task my has 1 train rows: 1 for dev leave none"):
        draw(load_task(path))
