"""Which data a task's examples come from, as a name that changes when the data does."""

import dataclasses
import hashlib
import json
from pathlib import Path

from colarepro.errors import ColaError
from colarepro.files import sha256_once
from colarepro.tasks.task import Task


def origin(task: Task, data_dir: Path | str | None = None) -> str:
    """Sixteen hex digits over the task (template, verbalizers, labels and so on) and its data: the bytes of its files,
    or, where they come from the hub, the commit that the task pins.

    Raises `ColaError` if a file cannot be read.
    """
    parts = dataclasses.asdict(task)
    home, hub = parts.pop("home"), parts.pop("hub")
    folder = Path(data_dir) if data_dir is not None else home if hub is None else None
    files = [] if folder is None else [_digest(folder / task.folder / name, task.name) for name in task.files.values()]
    return hashlib.sha256(json.dumps([parts, files or hub], sort_keys=True).encode()).hexdigest()[:16]


def _digest(path: Path, task: str) -> str:
    try:
        return sha256_once(path)
    except OSError as error:
        raise ColaError(f"Data file {path} of task {task} could not be read: {error.strerror}.") from error
