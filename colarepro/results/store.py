"""A folder of records, one JSON file each, named by the question it answers, or many packed into one file."""

import re
from collections.abc import Callable, Iterator
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from colarepro.errors import ColaError
from colarepro.files import written_aside
from colarepro.results.archive import SUFFIX, read_archive, write_archive
from colarepro.results.record import Record, identity_of

NAME = re.compile(r"[0-9a-f]{16}\.json")


class Store:
    """Records under one folder, any depth.

    A record's file is written aside and renamed, so a reader sees a whole record or none, and two
    writers of the same question leave one of two whole answers. Packed files (`colarepro.results.archive`) are read
    beside the single ones, and written by `pack` alone; where both hold a run, the single file counts.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)

    def path(self, kind: str, config: dict[str, Any]) -> Path:
        """Where the single record that answers this question is, or would be."""
        return self.folder / f"{identity_of(kind, config)}.json"

    def get(self, kind: str, config: dict[str, Any]) -> Record | None:
        """The stored answer to this question, if there is one.

        Made for many calls: packed files are looked for once in a store's life, and unpacked again only where they
        have changed. Single records are looked for at the top of the folder.
        """
        path = self.path(kind, config)
        if path.exists():
            return _read(path)
        archives = (read_archive(archive) for archive in self._archives)
        return next((archive.record(path.stem) for archive in archives if path.stem in archive.texts), None)

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
        found = [read for name, read in self._readers().items() if name.startswith(identity)]
        if len(found) != 1:
            raise ColaError(f"{len(found)} records in {self.folder} have a name that begins with '{identity}'.")
        return found[0]()

    def put(self, record: Record) -> Path:
        """Write a record and return its path; an earlier answer to the same question is replaced."""
        path = self.path(record.kind, record.config)
        try:
            with written_aside(path) as aside:
                aside.write_text(record.to_json())
        except OSError as error:
            raise ColaError(f"The record {path} could not be written: {error.strerror}.") from error
        return path

    def pack(self, archive: Path) -> tuple[int, int]:
        """Write all single records into ``archive``, beside those that it holds and the folder has not.

        Returns how many were packed and how many the archive holds now. Raises `ColaError` if a record is not whole,
        the archive's name does not end in ``.jsonl.xz``, or it cannot be written; what was there then stays.
        """
        if not archive.name.endswith(SUFFIX):
            raise ColaError(f"The archive {archive} must have a name that ends in {SUFFIX}.")
        records = {path.stem: _read(path) for path in self._singles().values()}
        packed = len(records)
        if not packed:
            raise ColaError(f"There are no records to pack in {self.folder}.")
        if archive.exists():
            held = read_archive(archive)
            records = {identity: held.record(identity) for identity in held.texts} | records
        write_archive(archive, records.values())
        return packed, len(records)

    def __iter__(self) -> Iterator[Record]:
        """Every record once, in the order of the identities; other files, such as checkpoints, are passed over."""
        for _, read in sorted(self._readers().items()):
            yield read()

    def _readers(self) -> dict[str, Callable[[], Record]]:
        """How to read each record, by its identity."""
        readers: dict[str, Callable[[], Record]] = {}
        for path in _archives_in(self.folder):
            archive = read_archive(path)
            for identity in archive.texts:
                readers.setdefault(identity, partial(archive.record, identity))
        return readers | {identity: partial(_read, path) for identity, path in self._singles().items()}

    def _singles(self) -> dict[str, Path]:
        """Files of single records by identity; of copies the one counts that `get` reads, else the first by path."""
        paths = sorted(path for path in self.folder.rglob("*.json") if NAME.fullmatch(path.name))
        found = {path.stem: path for path in reversed(paths)}
        return found | {path.stem: path for path in paths if path.parent == self.folder}

    @cached_property
    def _archives(self) -> list[Path]:
        return _archives_in(self.folder)


def _archives_in(folder: Path) -> list[Path]:
    return sorted(folder.rglob(f"*{SUFFIX}"))


def _read(path: Path) -> Record:
    return Record.from_json(path.read_text(), str(path))
