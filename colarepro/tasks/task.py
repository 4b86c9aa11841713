"""What a task is: one small YAML file, checked when it is read."""

import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

import yaml

from colarepro.errors import ColaError
from colarepro.tasks.readers import LAYOUTS
from colarepro.tasks.score import METRICS

Split = Literal["train", "validation"]

TRANSFORMS: Mapping[str, Callable[[str], str]] = {
    "strip": str.strip,
    "lower": str.lower,
    "question": lambda text: text[:1].upper() + text[1:] + ("" if text.endswith("?") else "?"),
}


@dataclass(frozen=True)
class Hub:
    """Where the task lives on a hub: a dataset, its configuration, and the commit whose files are read."""

    dataset: str
    config: str
    revision: str


@dataclass(frozen=True)
class Task:
    """A classification task asked as a prompt with one verbalizer a label.

    ``template`` is a format string over the data's own columns, ``transforms`` names what is done to a column
    first (`TRANSFORMS`). ``verbalizers`` continue the prompt as they stand, leading space included; the label of
    an example is an index into them. ``labels`` lists, in the same order, the spellings of each label in the data
    (the official files and the hub may differ). ``mezo_dev`` caps the dev set under the ``mezo`` protocol.
    """

    name: str
    folder: str
    files: Mapping[str, str]
    layout: str
    template: str
    verbalizers: tuple[str, ...]
    labels: tuple[tuple[str | int | bool, ...], ...]
    metrics: tuple[str, ...] = ("accuracy",)
    transforms: Mapping[str, str] = field(default_factory=dict)
    hub: Hub | None = None
    mezo_dev: int | None = None

    @property
    def columns(self) -> list[str]:
        """The columns that the template needs, in its order."""
        return [name for _, name, _, _ in string.Formatter().parse(self.template) if name]


def known_tasks() -> list[str]:
    """Names of the tasks that the package ships."""
    return sorted(path.stem for path in Path(__file__).parent.glob("*.yaml"))


def load_task(name_or_path: str | Path) -> Task:
    """A shipped task by its name, or anybody's task by the path of its YAML file.

    Raises `ColaError` for an unknown name, a missing file, or a file that does not describe a task.
    """
    path = Path(name_or_path)
    if path.suffix not in (".yaml", ".yml"):
        if str(name_or_path) not in known_tasks():
            raise ColaError(f"Unknown task {str(name_or_path)!r}; known are {', '.join(known_tasks())}.")
        path = Path(__file__).parent / f"{name_or_path}.yaml"
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ColaError(f"Task file {path} could not be read: {error.strerror}.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ColaError(f"Task file {path} is not YAML: {' '.join(str(error).split())}.") from error
    try:
        return _task(content)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise ColaError(f"Task file {path} does not describe a task: {error}.") from error


def _task(content: Any) -> Task:
    """Build and check; the caller turns what is raised into one sentence."""
    if not isinstance(content, dict):
        raise ValueError("a mapping was expected")
    allowed = {entry.name for entry in fields(Task)}
    if unknown := sorted(set(content) - allowed):
        raise ValueError(f"unknown key {unknown[0]!r}, allowed are {', '.join(sorted(allowed))}")
    hub = content.pop("hub", None)
    for key in ("verbalizers", "metrics"):
        if key in content:
            content[key] = tuple(content[key])
    content["labels"] = tuple(tuple(spellings) for spellings in content.get("labels", ()))
    task = Task(**content, hub=Hub(**hub) if hub else None)

    if task.layout not in LAYOUTS:
        raise ValueError(f"layout {task.layout!r} is none of {', '.join(LAYOUTS)}")
    if missing := {"train", "validation"} - set(task.files):
        raise ValueError(f"'files' lacks {sorted(missing)[0]!r}")
    if len(task.verbalizers) < 2 or len(set(task.verbalizers)) != len(task.labels):
        raise ValueError("'verbalizers' must be two or more different strings, with one entry each in 'labels'")
    for kind, used, known in (
        ("transform", task.transforms.values(), TRANSFORMS),
        ("metric", task.metrics, METRICS),
    ):
        for name in used:
            if name not in known:
                raise ValueError(f"{kind} {name!r} is none of {', '.join(known)}")
    if not task.columns:
        raise ValueError("'template' names no column")
    return task
