"""Many records in one file for a repository: one a line, compressed by xz."""

import dataclasses
import functools
import lzma
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from colarepro.errors import ColaError
from colarepro.files import written_aside
from colarepro.results.record import Record

SUFFIX = ".jsonl.xz"
DIGITS = 6


@dataclass(frozen=True)
class Archive:
    """What a file of packed records holds: the text of each record, JSON, by its identity."""

    path: Path
    texts: Mapping[str, str]

    def record(self, identity: str) -> Record:
        """One record; raises `KeyError` if it is not there."""
        return Record.from_json(self.texts[identity], f"The record {identity} in {self.path}")


def read_archive(path: Path) -> Archive:
    """The records of a packed file, unpacked once in a process and again only if the file has changed.

    Raises `ColaError` if the file cannot be read, is not whole, or has a line that is no record.
    """
    try:
        state = path.stat()
        return _unpacked(path, state.st_ino, state.st_mtime_ns, state.st_size)
    except OSError as error:
        raise ColaError(f"The archive {path} could not be read: {error.strerror}.") from error


@functools.lru_cache(maxsize=16)
def _unpacked(path: Path, inode: int, modified: int, size: int) -> Archive:
    try:
        lines = [line.decode() for line in lzma.decompress(path.read_bytes()).splitlines()]
    except (lzma.LZMAError, UnicodeDecodeError) as error:
        raise ColaError(f"The archive {path} is not whole ({error}).") from error
    texts: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        texts.setdefault(Record.from_json(line, f"Line {number} of {path}").identity, line)
    return Archive(path, texts)


def write_archive(path: Path, records: Iterable[Record]) -> None:
    """Write records, sorted by identity: the same records give the same bytes.

    Curves of language-model runs are kept to six significant digits, which is a twentieth of the difference between
    the losses of a run alone and in a fleet (1e-5, relative), and less than any plot shows; the digits beyond
    are noise that no compression takes, half of an archive. Scores, predictions and costs are kept as they are, and so
    are the curves of theory, where excesses that nearly cancel are compared. What is alike in many records, such as
    ``step``, the learning rates and the true labels, costs nothing in a compressed file and is left in them.
    """
    by_identity = {record.identity: record for record in records}
    text = "".join(_rounded(by_identity[identity]).to_json() for identity in sorted(by_identity))
    try:
        with written_aside(path) as aside:
            aside.write_bytes(lzma.compress(text.encode(), preset=9))  # whose window of 64 MiB sees them all
    except OSError as error:
        raise ColaError(f"The archive {path} could not be written: {os.strerror(error.errno or 0)}.") from error


def _rounded(record: Record) -> Record:
    if record.kind != "llm":
        return record
    return dataclasses.replace(record, curves={name: _shorter(values) for name, values in record.curves.items()})


def _shorter(value: Any) -> Any:
    if isinstance(value, list):
        return [_shorter(item) for item in value]
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value
