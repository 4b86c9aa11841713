"""Rows of a data set turned into prompts with labels."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from colarepro.errors import ColaError, quoted
from colarepro.tasks.hub import hub_rows
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

    ``data_dir`` holds the task's official folder (``RTE/train.jsonl``); without it the rows come from the hub, at
    the commit that the task pins, or, if the task names none, from beside the task's own YAML file. Raises
    `ColaError` for data that is missing, broken or out of the task's set.
    """
    if split not in ("train", "validation"):
        raise ColaError(f"Unknown split {quoted(split)}; known are train and validation.")
    place = Path(task.folder, task.files[split])
    folder = Path(data_dir) if data_dir is not None else task.home if task.hub is None else None
    rows: Iterable[tuple[int, Row]]
    if folder is not None:
        source = str(folder / place)
        rows = _file_rows(task, folder / place)
    elif task.hub is not None:
        source = f"{task.hub.dataset} ({task.hub.config}, {split})"
        rows = hub_rows(task.hub, split, f"without it, task {task.name} needs a data folder that holds {place}")
    else:
        raise ColaError(f"Task {task.name} names no hub dataset; give a data folder that holds {place}.")

    spellings = {spelling: label for label, group in enumerate(task.labels) for spelling in group}
    examples: list[Example] = []
    seen: set[str] = set()
    numbered: bool | None = None
    for line, row in rows:
        where = f"{source}, line {line}"
        if numbered not in (None, "idx" in row):
            raise ColaError(
                f"{where}: {'no' if numbered else 'an'} idx, unlike before; expected in all rows or in none."
            )
        numbered = "idx" in row
        own, group = _identity(row, line, where)
        identity = f"{split}-{own}"
        if identity in seen:
            raise ColaError(f"{where}: a second row with idx {own:.80}; every row needs its own.")
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


def _identity(row: Row, line: int, where: str) -> tuple[str, str]:
    """Identity and group of a row, from its ``idx`` where it has one, else from its line."""
    idx = row.get("idx", line - 1)
    if isinstance(idx, dict):
        if not idx.keys() >= {"paragraph", "question", "answer"}:
            expected = "a number, a text, or MultiRC's paragraph, question, answer"
            raise ColaError(f"{where}: idx is {quoted(idx)}, expected was {expected}.")
        question = f"{idx['paragraph']}/{idx['question']}"
        return f"{question}/{idx['answer']}", question
    return str(idx), str(idx)


def _column(row: Row, name: str, where: str) -> Any:
    if name not in row:
        raise ColaError(f"{where}: no column {name!r}; found {', '.join(row):.200}.")
    return row[name]


def _label(row: Row, spellings: dict[Any, int], where: str) -> int:
    raw = _column(row, "label", where)
    if not isinstance(raw, str | int) or raw not in spellings:
        known = ", ".join(repr(spelling) for spelling in spellings)
        # YAML reads yes and no as true and false.
        textless = isinstance(raw, str) and not any(isinstance(spelling, str) for spelling in spellings)
        hint = "; in the task's file, quote labels that are text in the data" if textless else ""
        raise ColaError(f"{where}: label {quoted(raw)} is none of {known:.200}{hint}.")
    return spellings[raw]


def _prompt(task: Task, row: Row, where: str) -> str:
    values = {}
    for name in task.columns:
        text = _column(row, name, where)
        if not isinstance(text, str):
            raise ColaError(f"{where}: column {name!r} holds {quoted(text)}, expected was text.")
        try:
            text.encode()  # JSON can spell half a character, which no tokenizer takes
        except UnicodeEncodeError as error:
            raise ColaError(f"{where}: column {name!r} holds a lone surrogate, expected was text.") from error
        values[name] = TRANSFORMS[task.transforms[name]](text) if name in task.transforms else text
    # MeZO strips what precedes the first word; what ends a prompt is the template's own.
    return task.template.format_map(values).lstrip()


def _file_rows(task: Task, path: Path) -> Iterator[tuple[int, Row]]:
    try:
        yield from LAYOUTS[task.layout](path)
    except OSError as error:
        raise ColaError(f"Data file {path} of task {task.name} could not be read: {error.strerror}.") from error
