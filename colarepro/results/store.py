"""A folder of records, one JSON file each, named by the question it answers."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from colarepro.errors import ColaError
from colarepro.files import written_aside
from colarepro.results.record import Record, identity_of


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
        """Every record, in the order of the file names."""
        for path in sorted(self.folder.rglob("*.json")):
            yield Record.from_json(path.read_text(), str(path))
