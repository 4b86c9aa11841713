"""Model folders in the cache: whole or absent."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from colarepro.files import cache_folder


def models_folder() -> Path:
    """Where built and downloaded models live; ``COLAREPRO_CACHE`` moves it."""
    return cache_folder() / "models"


@contextmanager
def folder_aside(target: Path) -> Iterator[Path]:
    """Yield an empty folder beside ``target``; rename it to ``target`` only if the block succeeds.

    If another process finished the same folder meanwhile, its one stays.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(dir=target.parent, prefix=".partial-"))
    try:
        yield aside
        aside.chmod(0o755)  # mkdtemp makes folders private, safetensors files
        for path in aside.iterdir():
            path.chmod(0o644)
        if not target.exists():
            aside.rename(target)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
