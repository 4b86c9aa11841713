"""Where models live in the cache, and whether they are still what was put there."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from colarepro.files import cache_folder, folder_aside, sha256_of_file

SUMS = "SHA256SUMS"


def models_folder() -> Path:
    """Where built and downloaded models live; ``COLAREPRO_CACHE`` moves it."""
    return cache_folder() / "models"


@contextmanager
def cached_aside(target: Path) -> Iterator[Path]:
    """`folder_aside`, and beside the files their digests, as ``sha256sum`` writes and checks them."""
    with folder_aside(target) as aside:
        yield aside
        files = sorted(path for path in aside.iterdir() if path.is_file())
        (aside / SUMS).write_text("".join(f"{sha256_of_file(path)}  {path.name}\n" for path in files))


def changed_files(folder: Path) -> list[str] | None:
    """Names of files that are not as they were put there, or are gone; None if no digests were written then."""
    sums = folder / SUMS
    if not sums.is_file():
        return None
    pairs = (line.split("  ", 1) for line in sums.read_text(errors="replace").splitlines() if "  " in line)
    expected = {name: digest for digest, name in pairs}
    return [
        name
        for name, digest in expected.items()
        if not (folder / name).is_file() or sha256_of_file(folder / name) != digest
    ]
