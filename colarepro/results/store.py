"""A folder of records, one JSON file each, named by the question it answers."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from colarepro.errors import ColaError
from colarepro.files import written_aside
from colarepro.results.record import Record, identity_of

NAME = re.compile(r"[0-9a-f]{16}\.json")


class Store:
    """Records under one folder, any depth.

    A record's file is written aside and renamed, so a reader sees a whole record or none, and two
    writers of the same question leave one of two whole answers.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)

    def path(self, kind: str, config: dict[str, Any]) -> Path:
        """Where the record that answers this question is, or would be."""
        return self.folder / f"{identity_of(kind, config)}.json"

    def get(self, kind: str, config: dict[str, Any]) -> Record | None:
        """The stored answer to this question, if there is one."""
        path = self.path(kind, config)
        return Record.from_json(path.read_text(), str(path)) if path.exists() else None

    def model(self, identity: str) -> Path:
        """The folder where the trained model of a run is kept, if it is."""
        return self.folder / "models" / identity

    def unfinished(self, identity: str) -> Path:
        """The folder where a run's checkpoints are until it has a record."""
        return self.folder / "unfinished" / identity

    def find(self, identity: str) -> Record:
        """The record whose identity begins with ``identity``; raises `ColaError` unless there is exactly one."""
        if not re.fullmatch(r"[0-9a-f]{0,16}", identity):
            raise ColaError(f"'{identity}' is no identity of a run; expected up to sixteen hex digits.")
        paths = [path for path in self.folder.rglob(f"{identity}*.json") if NAME.fullmatch(path.name)]
        if len(paths) != 1:
            raise ColaError(f"{len(paths)} records in {self.folder} have a name that begins with '{identity}'.")
        return Record.from_json(paths[0].read_text(), str(paths[0]))

    def put(self, record: Record) -> Path:
        """Write a record and return its path; an earlier answer to the same question is replaced."""
        path = self.path(record.kind, record.config)
        try:
            with written_aside(path) as aside:
                aside.write_text(record.to_json())
        except OSError as error:
            raise ColaError(f"The record {path} could not be written: {error.strerror}.") from error
        return path

    def __iter__(self) -> Iterator[Record]:
        """Every record, in the order of the file names; other files, such as a run's checkpoints, are passed over."""
        for path in sorted(self.folder.rglob("*.json")):
            if not NAME.fullmatch(path.name):
                continue
            yield Record.from_json(path.read_text(), str(path))
