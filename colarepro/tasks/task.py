"""What a task is."""

import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

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
    (the official files and the hub may differ). ``files`` lie in ``folder`` of a data folder. ``mezo_dev`` caps the
    dev set under the ``mezo`` protocol. ``home`` is the folder of the task's own YAML file, where the data of a task
    without a hub is looked for.
    """

    name: str
    files: Mapping[str, str]
    template: str
    verbalizers: tuple[str, ...]
    labels: tuple[tuple[str | int | bool, ...], ...]
    folder: str = ""
    layout: str = "jsonl"
    metrics: tuple[str, ...] = ("accuracy",)
    transforms: Mapping[str, str] = field(default_factory=dict)
    hub: Hub | None = None
    mezo_dev: int | None = None
    home: Path | None = None

    @property
    def columns(self) -> list[str]:
        """The columns that the template needs, in its order."""
        return [name for _, name, _, _ in string.Formatter().parse(self.template) if name]
