"""A folder of records, one JSON file each, named by the question it answers, or many packed into one file."""

import logging
import os
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from colarepro.errors import ColaError, UnwrittenError
from colarepro.files import written_aside
from colarepro.results.archive import SUFFIX, Archive, read_archive, write_archive
from colarepro.results.damage import Damage
from colarepro.results.record import Record, identity_of

NAME = re.compile(r"[0-9a-f]{16}\.json")
SET_ASIDE = "damaged"
log = logging.getLogger(__name__)


class Store:
    """Records under one folder, any depth.

    A record's file is written aside and renamed, so a reader sees a whole record or none, and two
    writers of the same question leave one of two whole answers. Packed files (`colarepro.results.archive`) are read
    beside the single ones, and written by `pack` alone; where both hold a run, the single file counts.

    A file may still be damaged, by a disk, a partial copy, or a hand. Reading all records then goes on and names the
    damage on standard error: one torn file must not hide the others, and the run that it held is like one not performed
    yet, which every reader of a store must bear anyway. A question whose own file is damaged is an error
    instead, since "not there" would have a sweep write over what somebody may want to look at. ``colarepro doctor
    --repair`` sets such files aside, in the folder ``damaged``, which is not read.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)

    def path(self, kind: str, config: dict[str, Any]) -> Path:
        """Where the single record that answers this question is, or would be."""
        return self.folder / f"{identity_of(kind, config)}.json"

    def get(self, kind: str, config: dict[str, Any]) -> Record | None:
        """The stored answer to this question, if there is one; raises `ColaError` if damage may have taken it.

        Made for many calls: packed files are looked for once in a store's life, and unpacked again only where they
        have changed. Single records are looked for at the top of the folder.
        """
        path = self.path(kind, config)
        archives = [read_archive(archive) for archive in self._archives]
        record, damage = _look(path.stem, [path], archives)
        if record is None and damage:
            raise ColaError(damage[0].said)
        return record

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
        singles, archives = self.singles(), self._unpacked()
        names = singles.keys() | {name for archive in archives for name in archive.texts}
        names = {name for name in names if name.startswith(identity)}
        if len(names) != 1:
            raise ColaError(f"{len(names)} records in {self.folder} have a name that begins with '{identity}'.")
        (name,) = names
        record, damage = _look(name, singles.get(name, []), archives)
        if record is None:
            raise ColaError(damage[0].said if damage else f"The record {name} was deleted meanwhile.")
        return record

    def holder(self, identity: str) -> Path:
        """The file that holds a record: its own, or a packed one."""
        packed = (archive.path for archive in self._unpacked() if identity in archive.texts)
        return next(iter(self.singles().get(identity, packed)), self.folder)

    def put(self, record: Record) -> Path:
        """Write a record and return its path; an earlier answer to the same question is replaced."""
        path = self.path(record.kind, record.config)
        try:
            with written_aside(path) as aside:
                aside.write_text(record.to_json())
        except OSError as error:
            raise UnwrittenError(f"The record {path} could not be written: {error.strerror}.") from error
        return path

    def pack(self, archive: Path) -> tuple[int, int]:
        """Write all records, single and packed, into ``archive``, beside those that it holds and the folder has not.

        Returns how many are new there and how many there are now. Raises `ColaError` if anything here or the archive is
        damaged, the archive's name does not end in ``.jsonl.xz``, or it cannot be written; what was there then stays.
        """
        if not archive.name.endswith(SUFFIX):
            raise ColaError(f"The archive {archive} must have a name that ends in {SUFFIX}.")
        held = read_archive(archive) if archive.exists() else Archive(archive, {})
        records = {identity: held.record(identity) for identity in held.texts}
        found = list(self.scan())
        damage = [*held.damage, *(each.said for each in found if isinstance(each, Damage))]
        if damage:
            raise ColaError(damage[0])
        if not found:
            raise ColaError(f"There are no records to pack in {self.folder}.")
        records |= {each.identity: each for each in found if isinstance(each, Record)}
        write_archive(archive, records.values())
        return len(records) - len(held.texts), len(records)

    def __iter__(self) -> Iterator[Record]:
        """Every whole record once, in the order of the identities; what is damaged is named on standard error."""
        for found in self.scan():
            if isinstance(found, Damage):
                log.warning(found.said)
            else:
                yield found

    def damage(self) -> list[Damage]:
        """What is wrong with the files here; empty for a sound store."""
        return [found for found in self.scan() if isinstance(found, Damage)]

    def scan(self) -> Iterator[Record | Damage]:
        """Every whole record once, in the order of the identities, and all damage that is met.

        Other files, such as a run's checkpoints, are passed over.
        """
        singles, archives = self.singles(), self._unpacked()
        for archive in archives:
            yield from (Damage(archive.path, said) for said in archive.damage)
        for name in sorted(singles.keys() | {name for archive in archives for name in archive.texts}):
            whole: dict[Path, Record] = {}
            for path in singles.get(name, []):
                record, damage = _look(name, [path], [])
                yield from damage
                if record is None:
                    continue
                first = next(iter(whole), path)
                if record != whole.setdefault(first, record):
                    yield Damage(path, f"{path} is another record of the run {name} than {first}, which counts.")
            found = next(iter(whole.values()), None) or _look(name, [], archives)[0]
            if found is not None:
                yield found

    def singles(self) -> dict[str, list[Path]]:
        """Files of single records by the identity in their name; of copies the one that `get` reads is the first."""
        found: dict[str, list[Path]] = defaultdict(list)
        for path in sorted(self._files(".json"), key=lambda path: (path.parent != self.folder, path)):
            if NAME.fullmatch(path.name):
                found[path.stem].append(path)
        return dict(found)

    def _unpacked(self) -> list[Archive]:
        return [read_archive(path) for path in self._find_archives()]

    def _find_archives(self) -> list[Path]:
        return sorted(self._files(SUFFIX))

    def _files(self, ending: str) -> Iterator[Path]:
        """Those at any depth but what is set aside; also a folder in a file's place, which whoever reads it will name.
        Folders may vanish meanwhile, as other runs tidy up behind them."""
        for folder, below, names in os.walk(self.folder):
            below[:] = [name for name in below if name != SET_ASIDE]
            yield from (Path(folder, name) for name in (*below, *names) if name.endswith(ending))

    @cached_property
    def _archives(self) -> list[Path]:
        return self._find_archives()


def _look(name: str, singles: Sequence[Path], archives: Sequence[Archive]) -> tuple[Record | None, list[Damage]]:
    """The first whole record of this name, and what was damaged before it was found."""
    damage: list[Damage] = []
    for path in singles:
        try:
            return _read(path), damage
        except FileNotFoundError:
            continue
        except ColaError as error:
            damage.append(Damage(path, str(error)))
    for archive in archives:
        if name in archive.texts:
            return archive.record(name), damage
    return None, damage + [Damage(archive.path, archive.damage[-1]) for archive in archives if archive.damage]


def _read(path: Path) -> Record:
    """A single record; raises `ColaError` if it is not whole or another's, `FileNotFoundError` if there is none."""
    try:
        record = Record.from_json(path.read_bytes(), str(path))
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ColaError(f"The record {path} could not be read: {error.strerror}.") from error
    except ColaError as error:
        raise ColaError(f"{str(error).rstrip('.')}; `colarepro doctor --repair` sets it aside.") from error
    if record.identity != path.stem:
        raise ColaError(f"{path} holds the record {record.identity}, which should be its name.")
    return record
