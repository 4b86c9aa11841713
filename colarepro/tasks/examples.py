"""Rows of a data set turned into prompts with labels."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from colarepro.errors import ColaError
from colarepro.tasks.readers import LAYOUTS, Row
from colarepro.tasks.task import TRANSFORMS, Split, Task


@dataclass(frozen=True)
class Example:
    """One question: ``identity`` is unique within a task, ``label`` indexes the task's verbalizers.

    ``group`` holds examples together that one metric judges together: MultiRC's answers to one question.
    Elsewhere it is the identity.
    """

    identity: str
    prompt: str
    label: int
    group: str


def load_examples(task: Task, split: Split, data_dir: Path | str | None = None) -> list[Example]:
    """All examples of a split, in the data's order.

    ``data_dir`` holds the task's official folder (``RTE/train.jsonl``); without it the rows come from the hub,
    at the commit that the task pins. Raises `ColaError` for data that is missing, broken or out of the task's set.
    """
    if split not in ("train", "validation"):
        raise ColaError(f"Unknown split {split!r}; known are train and validation.")
    rows: Iterable[tuple[int, Row]]
    if data_dir is None:
        source = f"{task.hub.dataset} ({task.hub.config}, {split})" if task.hub else task.name
        rows = _hub_rows(task, split)
    else:
        path = Path(data_dir) / task.folder / task.files[split]
        source = str(path)
        rows = _file_rows(task, path)

    spellings = {spelling: label for label, group in enumerate(task.labels) for spelling in group}
    examples: list[Example] = []
    seen: set[str] = set()
    for line, row in rows:
        where = f"{source}, line {line}"
        place, group = _place(row, line)
        identity = f"{split}-{place}"
        if identity in seen:
            raise ColaError(f"{where}: a second row with idx {place}; every row needs its own.")
        seen.add(identity)
        label = _label(row, spellings, where)
        examples.append(Example(identity, _prompt(task, row, where), label, f"{split}-{group}"))
    if not examples:
        raise ColaError(f"{source} holds no example.")
    return examples


def digest(examples: Iterable[Example]) -> str:
    """Hex SHA-256 of examples in their order: identities, prompts, labels and groups."""
    total = hashlib.sha256()
    for example in examples:
        line = json.dumps([example.identity, example.prompt, example.label, example.group], ensure_ascii=True)
        total.update(line.encode() + b"\n")
    return total.hexdigest()


def _place(row: Row, line: int) -> tuple[str, str]:
    """Identity and group of a row, from its ``idx`` where it has one, else from its line."""
    idx = row.get("idx", line - 1)
    if isinstance(idx, dict):
        question = f"{idx.get('paragraph')}/{idx.get('question')}"
        return f"{question}/{idx.get('answer')}", question
    return str(idx), str(idx)


def _label(row: Row, spellings: dict[Any, int], where: str) -> int:
    if "label" not in row:
        raise ColaError(f"{where}: no column 'label'.")
    raw = row["label"]
    if not isinstance(raw, str | int) or raw not in spellings:
        known = ", ".join(repr(spelling) for spelling in spellings)
        raise ColaError(f"{where}: label {raw!r} is none of {known}.")
    return spellings[raw]


def _prompt(task: Task, row: Row, where: str) -> str:
    values = {}
    for name in task.columns:
        if not isinstance(row.get(name), str):
            raise ColaError(f"{where}: no text in column {name!r}.")
        values[name] = TRANSFORMS[task.transforms[name]](row[name]) if name in task.transforms else row[name]
    # MeZO strips what precedes the first word; what ends a prompt is the template's own.
    return task.template.format_map(values).lstrip()


def _file_rows(task: Task, path: Path) -> Iterator[tuple[int, Row]]:
    try:
        yield from LAYOUTS[task.layout](path)
    except OSError as error:
        raise ColaError(f"Data file {path} of task {task.name} could not be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise ColaError(f"Data file {path} of task {task.name} is not UTF-8 text.") from error


def _hub_rows(task: Task, split: Split) -> Iterator[tuple[int, Row]]:
    if task.hub is None:
        raise ColaError(f"Task {task.name} names no hub dataset; give a data folder that holds {task.folder}.")
    try:
        from datasets import load_dataset

        data = load_dataset(task.hub.dataset, task.hub.config, revision=task.hub.revision, split=split)
    except Exception as error:  # the hub's client raises dozens of kinds, httpx's among them
        raise ColaError(
            f"Task {task.name} could not be read from the hub ({task.hub.dataset} at {task.hub.revision[:7]}: "
            f"{type(error).__name__}); give a data folder that holds {task.folder}."
        ) from error
    yield from enumerate(data, start=1)
