"""Where models live in the cache, and whether they are still what was put there."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from colarepro.errors import ColaError
from colarepro.files import cache_folder, folder_aside, sha256_of_file

SUMS = "SHA256SUMS"
NEEDED = ("config.json", "*.safetensors", "tokenizer.json")


def models_folder() -> Path:
    """Where built and downloaded models live; ``COLAREPRO_CACHE`` moves it."""
    return cache_folder() / "models"


@contextmanager
def cached_aside(target: Path) -> Iterator[Path]:
    """`folder_aside`, and beside the files their digests, as ``sha256sum`` writes and checks them.

    Raises `ColaError`, and puts nothing there, if the block leaves no whole model.
    """
    with folder_aside(target) as aside:
        yield aside
        if lacking := missing_files(aside):
            raise ColaError(f"The model for {target} was written without {', '.join(lacking)}; expected a whole one.")
        files = sorted(path for path in aside.iterdir() if path.is_file())
        (aside / SUMS).write_text("".join(f"{sha256_of_file(path)}  {path.name}\n" for path in files))


def save_model(model: Any, into: Path) -> None:
    """Write a transformers model, on every rank of a run.

    By itself transformers writes on rank 0 alone. But each rank makes what the cache lacks, and the one that ends first
    puts it there, so each must write all of it.
    """
    model.should_save_on_this_rank = lambda is_main_process: is_main_process
    model.save_pretrained(into)


def missing_files(folder: Path) -> list[str]:
    """What a whole model has and this folder lacks, as patterns of file names."""
    return [pattern for pattern in NEEDED if not any(folder.glob(pattern))]


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
