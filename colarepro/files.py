"""Where files live, and how they are written: aside first, then renamed into place."""

import functools
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ASIDE = ".partial-"  # how the names begin of what is not in place yet


def cache_folder() -> Path:
    """Folder for models that the package builds or downloads; ``COLAREPRO_CACHE`` overrides the default."""
    base = os.environ.get("COLAREPRO_CACHE") or Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")) / "colarepro"
    return Path(base).expanduser()


def can_be_a_path(text: str) -> bool:
    """Whether the system could have a file of this name: no null character, no half of one."""
    try:
        return b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        return False


@contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; rename it over ``path`` only if the block succeeds.

    A crash or an exception leaves whatever stood at ``path`` untouched, and so does a power cut, since the bytes are on
    the disk before the name is. The suffix is kept, since writers such as matplotlib choose the format by it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=ASIDE, suffix=path.suffix)
    os.close(handle)
    aside = Path(name)
    try:
        yield aside
        aside.chmod(0o644)  # mkstemp makes files private
        with aside.open("rb") as file:
            os.fsync(file.fileno())
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


@contextmanager
def folder_aside(target: Path) -> Iterator[Path]:
    """Yield an empty folder beside ``target``; rename it to ``target`` only if the block succeeds.

    If another process finished the same folder meanwhile, its one stays.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(dir=target.parent, prefix=ASIDE))
    try:
        yield aside
        aside.chmod(0o755)  # mkdtemp makes folders private, safetensors files
        for path in aside.rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o644)
        try:
            aside.rename(target)
        except OSError:  # to look before would be too early, as two that began together end together
            if not target.exists():
                raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def sha256_of_file(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_once(path: Path) -> str:
    """The same, read again only if the file's size or time of change is another one."""
    state = path.stat()
    return _sha256_of(path, state.st_size, state.st_mtime_ns)


@functools.lru_cache(maxsize=1000)
def _sha256_of(path: Path, size: int, changed: int) -> str:
    return sha256_of_file(path)
