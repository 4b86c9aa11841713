"""Task files and data lines: a task with examples, or one sentence."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from colarepro.errors import ColaError
from colarepro.models.load import load_tokenizer
from colarepro.tasks import Example, Task, digest, encode, load_examples, load_task, origin
from colarepro.tasks.readers import LAYOUTS
from colarepro.tasks.score import METRICS
from colarepro.tasks.task import TRANSFORMS

from .bounds import outcome
from .rows import BYTES, OFFICIAL, OWN
from .values import ANY, BOMB, TEXTS, mappings

FILES = {"train": "t.jsonl", "validation": "v.jsonl"}
WORDS = st.sampled_from(["Yes", "No", " yes", "maybe", "0", "true"])
PIECES = st.sampled_from(["{text}", "{größe}", "{label}", "\n", "{{x}}", "{", "{0}", "{text.x}", "{text!r}", "{a b}"])
TASK = mappings(
    {
        "files": st.one_of(st.just(FILES), mappings({"train": TEXTS, "validation": TEXTS})),
        "template": st.one_of(
            st.sampled_from(["{text}\n", "{text} {größe}"]), st.lists(PIECES, min_size=1, max_size=3).map("".join)
        ),
        "verbalizers": st.one_of(st.just(["Yes", "No"]), st.lists(WORDS, min_size=2, max_size=3)),
        "labels": st.one_of(
            st.sampled_from([["Yes", "No"], [["Yes", 0], ["No", 1]]]),
            st.lists(st.one_of(WORDS, st.integers(0, 1), st.lists(WORDS, max_size=2)), min_size=2, max_size=3),
        ),
        "name": st.sampled_from(["mine", "a/b", " x"]),
        "folder": st.one_of(st.just("."), TEXTS),
        "layout": st.one_of(st.just("jsonl"), st.sampled_from(sorted(LAYOUTS))),
        "metrics": st.lists(st.sampled_from(sorted(METRICS)), min_size=1, max_size=2),
        "transforms": st.dictionaries(st.just("text"), st.sampled_from(sorted(TRANSFORMS)), max_size=1),
        "mezo_dev": st.integers(0, 9),
    },
    required=("files", "template", "verbalizers", "labels"),
)


def lines(rows: list[Any]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def check_examples(found: list[Example] | ColaError, task: Task) -> None:
    if isinstance(found, ColaError):
        return
    assert found
    assert len({example.identity for example in found}) == len(found)
    assert all(example.label in range(len(task.verbalizers)) for example in found)
    assert len(digest(found)) == 64


@given(content=TASK, rows=st.lists(OWN, min_size=1, max_size=4, unique_by=lambda row: str(row.get("idx"))))
def test_a_task_file_is_a_task_or_a_sentence(content: Any, rows: list[Any], tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    for name in FILES.values():
        (tmp_path / name).write_bytes(lines(rows))
    task = outcome(lambda: load_task(path), tmp_path)
    if isinstance(task, ColaError):
        return
    assert outcome(lambda: origin(task), tmp_path)
    for place in (task.folder, *task.files.values()):
        assert (tmp_path / place).resolve().is_relative_to(tmp_path.resolve())
    check_examples(outcome(lambda: load_examples(task, "train"), tmp_path), task)


@given(content=TASK, cut=st.integers(0, 200), inserted=st.binary(max_size=3))
def test_a_task_file_that_was_scribbled_on(content: Any, cut: int, inserted: bytes, tmp_path: Path) -> None:
    path, text = tmp_path / "mine.yaml", yaml.safe_dump(content).encode()
    path.write_bytes(text[:cut] + inserted + text[cut + 1 :])
    outcome(lambda: load_task(path), tmp_path)


@pytest.mark.parametrize("key", ["files", "template", "verbalizers", "labels", "transforms", "unknown"])
def test_a_few_letters_that_stand_for_billions(key: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(f"{key}: {BOMB}")
    assert isinstance(outcome(lambda: load_task(path), tmp_path), ColaError)


@pytest.fixture(scope="module")
def tokenizer(untrained: str) -> Any:
    return load_tokenizer(untrained)


@given(data=st.data(), name=st.sampled_from(sorted(OFFICIAL)))
def test_rows_are_examples_or_a_sentence(data: st.DataObject, name: str, tokenizer: Any, tmp_path: Path) -> None:
    task, rows = load_task(name), OFFICIAL[name]
    path = tmp_path / task.folder / task.files["train"]
    path.parent.mkdir(exist_ok=True)
    strange = data.draw(st.integers(0, 3)) == 0
    path.write_bytes(lines(data.draw(st.lists(st.one_of(rows, ANY) if strange else rows, min_size=1, max_size=4))))
    found = outcome(lambda: load_examples(task, "train", tmp_path), tmp_path)
    check_examples(found, task)
    if not isinstance(found, ColaError):
        encoded = outcome(lambda: encode(task, found, tokenizer), tmp_path)
        assert isinstance(encoded, ColaError) or len(encoded.prompts) == len(found)


@given(name=st.sampled_from(["sst2", *sorted(OFFICIAL)]), head=st.booleans(), data=BYTES)
def test_bytes_are_examples_or_a_sentence(name: str, head: bool, data: bytes, tmp_path: Path) -> None:
    task = load_task(name)
    path = tmp_path / task.folder / task.files["train"]
    path.parent.mkdir(exist_ok=True)
    path.write_bytes((b"sentence\tlabel\n" if head else b"") + data)
    check_examples(outcome(lambda: load_examples(task, "train", tmp_path), tmp_path), task)
