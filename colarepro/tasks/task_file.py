"""A task's YAML file, checked when it is read."""

import re
import string
from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import cache
from pathlib import Path, PureWindowsPath
from typing import Any

from colarepro.errors import ColaError, quoted
from colarepro.files import can_be_a_path
from colarepro.tasks.readers import LAYOUTS
from colarepro.tasks.score import METRICS
from colarepro.tasks.task import TRANSFORMS, Hub, Task
from colarepro.yaml_file import read_yaml

SHIPPED = Path(__file__).parent


def known_tasks() -> list[str]:
    """Names of the tasks that the package ships."""
    return sorted(path.stem for path in SHIPPED.glob("*.yaml"))


def load_task(name_or_path: str | Path) -> Task:
    """A shipped task by its name, or anybody's task by the path of its YAML file.

    A file needs ``files``, ``template``, ``verbalizers`` and ``labels``; its own name serves where it gives no
    ``name``. Raises `ColaError` for an unknown name, a missing file, or a file that does not describe a task.
    """
    path = Path(name_or_path)
    return _read(path) if path.suffix in (".yaml", ".yml") else _shipped(str(name_or_path))


@cache  # a sweep asks for the same few thousands of times
def _shipped(name: str) -> Task:
    if name not in known_tasks():
        known = ", ".join(known_tasks())
        raise ColaError(f"Unknown task {quoted(name)}; known are {known}, and a path to a .yaml file is one of yours.")
    return _read(SHIPPED / f"{name}.yaml")


def _read(path: Path) -> Task:
    content = read_yaml(path, "Task file")
    try:
        return _task(content, path)
    except ValueError as error:
        raise ColaError(f"Task file {path} does not describe a task: {error}.") from error


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_name(value: Any) -> bool:
    """Files are named by it."""
    return isinstance(value, str) and bool(re.fullmatch(r"[\w.-]+", value))


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_text, value))


def _are_named_texts(value: Any) -> bool:
    return isinstance(value, dict) and all(_is_text(text) for pair in value.items() for text in pair)


def _are_labels(value: Any) -> bool:
    groups = [group if isinstance(group, list) else [group] for group in value] if isinstance(value, list) else []
    return bool(groups) and all(group and all(isinstance(label, str | int) for label in group) for group in groups)


SHAPES: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "name": (_is_name, "text of letters, digits, _, . and - only"),
    "folder": (_is_text, "text"),
    "layout": (_is_text, "text"),
    "template": (_is_text, "text"),
    "files": (_are_named_texts, "a file name each for train and validation"),
    "verbalizers": (_are_texts, "a list of texts; quote words such as Yes, No and numbers"),
    "labels": (_are_labels, "a list with one label, or one list of a label's spellings, for each verbalizer"),
    "metrics": (_are_texts, "a list of names"),
    "transforms": (_are_named_texts, "a transform's name for each column"),
    "hub": (_are_named_texts, "texts for dataset, config and revision"),
    "mezo_dev": (lambda value: type(value) is int and value > 0, "a positive number"),
}


def _task(content: Any, path: Path) -> Task:
    """Build and check; the caller makes one sentence of the `ValueError`."""
    if not isinstance(content, dict):
        raise ValueError("a mapping was expected")
    if unknown := [key for key in content if key not in SHAPES]:
        raise ValueError(f"unknown key {quoted(unknown[0])}, allowed are {', '.join(SHAPES)}")
    for key, (fits, expected) in SHAPES.items():
        if key in content and not fits(content[key]):
            raise ValueError(f"'{key}' is {quoted(content[key])}, expected was {expected}")
    for key in ("files", "template", "verbalizers", "labels"):
        if key not in content:
            raise ValueError(f"'{key}' is missing")
    _check_keys("files", content["files"], ["train", "validation"])
    if "hub" in content:
        _check_keys("hub", content["hub"], [entry.name for entry in fields(Hub)])
        content["hub"] = Hub(**content["hub"])
    for key in ("verbalizers", "metrics"):
        if key in content:
            content[key] = tuple(content[key])
    content["labels"] = tuple(tuple(group) if isinstance(group, list) else (group,) for group in content["labels"])
    named: dict[str, Any] = {"name": path.stem} | content
    task = Task(**named, home=path.parent)

    for place in (task.folder, *task.files.values()):
        _check_place(place)
    if Path(task.files["train"]) == Path(task.files["validation"]):
        raise ValueError(f"'files' has {quoted(task.files['train'])} for train and for validation, expected were two")
    _check_template(task.template)
    _check_answers(task)
    for column in task.transforms:
        if column not in task.columns:
            raise ValueError(f"'transforms' names {quoted(column)}, which is no column of 'template'")
    for kind, used, known in (
        ("layout", [task.layout], LAYOUTS),
        ("transform", task.transforms.values(), TRANSFORMS),
        ("metric", task.metrics, METRICS),
    ):
        for name in used:
            if name not in known:
                raise ValueError(f"{kind} {quoted(name)} is none of {', '.join(known)}")
    return task


def _check_keys(where: str, found: Mapping[str, str], expected: list[str]) -> None:
    for key in expected:
        if key not in found:
            raise ValueError(f"'{where}' lacks {key!r}")
    for key in found:
        if key not in expected:
            raise ValueError(f"'{where}' has {quoted(key)}, expected were {', '.join(expected)} only")


def _check_place(place: str) -> None:
    """A task from elsewhere reads below its data folder only, on any system."""
    if not can_be_a_path(place):
        raise ValueError(f"the place {quoted(place)} is one that no file can have")
    path = PureWindowsPath(place)  # knows both kinds of slash, and drives
    if path.anchor or ".." in path.parts:
        raise ValueError(f"the place {quoted(place)} must lie below the data folder, without '..' or a leading slash")


def _check_template(template: str) -> None:
    """Plain columns only: a format string may otherwise reach into Python's objects."""
    found = [field for field in string.Formatter().parse(template) if field[1] is not None]
    if not found:
        raise ValueError("'template' names no column, such as {text}")
    for _, name, layout, conversion in found:
        if layout or conversion or not re.fullmatch(r"[^\W\d][\w -]*", name or ""):
            said = f"{name}{'!' + conversion if conversion else ''}{':' + layout if layout else ''}"
            raise ValueError(f"'template' has {{{said:.80}}}, expected was a column's bare name in braces")


def _check_answers(task: Task) -> None:
    """One verbalizer a label, and no spelling of two labels; ``true`` and ``1`` are the same spelling."""
    if len(task.verbalizers) < 2 or len(task.verbalizers) != len(task.labels):
        raise ValueError(
            f"{len(task.verbalizers)} 'verbalizers' and {len(task.labels)} 'labels', expected were two or more "
            f"verbalizers with one entry each in 'labels'"
        )
    for key, groups in (("verbalizers", [{text} for text in task.verbalizers]), ("labels", map(set, task.labels))):
        seen: set[Any] = set()
        for group in groups:
            if shared := seen & group:
                raise ValueError(
                    f"'{key}' has {quoted(shared.pop())} twice, expected was a different one for each label"
                )
            seen |= group
