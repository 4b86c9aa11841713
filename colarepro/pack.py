"""Records for a repository: ``colarepro pack runs/llm data/results/campaign.jsonl.xz``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from colarepro.errors import exit_cleanly
from colarepro.results import Store


@dataclass(frozen=True)
class Arguments:
    """Pack all records of a folder into one file, together with what that holds already.

    The folder's files stay; deleted, they are read from the archive wherever it lies in a folder of records.
    """

    folder: Annotated[Path, tyro.conf.Positional]
    """Folder of records."""
    archive: Annotated[Path, tyro.conf.Positional]
    """The file, NAME.jsonl.xz. Where it holds a run already, the folder's record replaces it."""


def main() -> None:
    arguments = tyro.cli(Arguments)
    new, total = Store(arguments.folder).pack(arguments.archive)
    size = arguments.archive.stat().st_size
    print(
        f"{new} new records, {total} now in {arguments.archive}: "
        f"{size / 1e6:.2f} MB, {size / max(total, 1):,.0f} bytes a record"
    )


if __name__ == "__main__":
    exit_cleanly(main)
