"""Many records in one file for a repository: one a line, compressed by xz as one stream."""

import dataclasses
import functools
import lzma
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
    """What a file of packed records holds: the text of each record, JSON, by its identity; and what is wrong with it.

    ``damage`` is empty for a whole file. A file that was cut off still gives the lines before the cut, since xz
    unpacks a beginning without the rest. A file that xz finds altered gives none, since its check is of the whole.
    """

    path: Path
    texts: Mapping[str, str]
    damage: tuple[str, ...] = ()

    def record(self, identity: str) -> Record:
        """One record; raises `KeyError` if it is not there."""
        return Record.from_json(self.texts[identity], f"The record {identity} in {self.path}")


def read_archive(path: Path) -> Archive:
    """The records of a packed file, unpacked once in a process and again only if the file has changed."""
    try:
        state = path.stat()
        return _unpacked(path, state.st_ino, state.st_mtime_ns, state.st_size)
    except OSError as error:
        return Archive(path, {}, (f"The archive {path} could not be read: {error.strerror}.",))


@functools.lru_cache(maxsize=16)
def _unpacked(path: Path, inode: int, modified: int, size: int) -> Archive:
    text, wrong = _decompressed(path.read_bytes())
    texts: dict[str, str] = {}
    damage: list[str] = []
    for number, line in enumerate(text.split(b"\n")[:-1], 1):
        try:
            record = Record.from_json(line, f"Line {number} of {path}")
        except ColaError as error:
            damage.append(str(error))
            continue
        if texts.setdefault(record.identity, line.decode()) != line.decode():
            damage.append(f"Line {number} of {path} is a second, different record {record.identity}; the first counts.")
    if wrong:
        rest = f"restore it, since only {len(texts)} of its records can be read"
        damage.append(f"The archive {path} is not whole ({wrong}); {rest}.")
    return Archive(path, texts, tuple(damage))


def _decompressed(packed: bytes) -> tuple[bytes, str]:
    """The text as far as it is sound, and what is wrong with the rest. Files joined by ``cat`` are read one by one."""
    text = b""
    while True:
        stream = lzma.LZMADecompressor(lzma.FORMAT_XZ)
        try:
            part = stream.decompress(packed)
        except lzma.LZMAError as error:
            return text, str(error).lower()
        text += part
        if not stream.eof:
            return text, "its end is missing"
        packed = stream.unused_data
        if not packed:
            return text if text.endswith(b"\n") or not text else text + b"\n", ""


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
            aside.write_bytes(lzma.compress(text.encode()))
    except OSError as error:
        raise ColaError(f"The archive {path} could not be written: {error.strerror}.") from error


def _rounded(record: Record) -> Record:
    if record.kind != "llm":
        return record
    return dataclasses.replace(record, curves={name: _shorter(values) for name, values in record.curves.items()})


def _shorter(value: Any) -> Any:
    if isinstance(value, list):
        return [_shorter(item) for item in value]
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value
