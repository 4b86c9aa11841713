"""Is everything as it should be? ``colarepro doctor``, ``colarepro doctor FOLDER --repair``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.table import Table
from rich.text import Text

from colarepro.errors import exit_cleanly
from colarepro.health import check_cache, check_environment, check_records

COLOURS = {"fine": "green", "note": "blue", "wrong": "red", "repaired": "yellow"}


@dataclass(frozen=True)
class Arguments:
    """Check a folder of records, the cached models' digests, and the environment; exit code 1 if something is wrong."""

    folder: Annotated[Path, tyro.conf.Positional] = Path("runs/llm")
    """Folder of records."""
    repair: bool = False
    """Set torn records aside in FOLDER/damaged, so that their runs are performed again, and remove what killed
    processes left: files never renamed into place, locks that nobody holds, and states of fleets that nobody changed
    for a day."""


def main() -> None:
    arguments = tyro.cli(Arguments)
    findings = [
        *check_records(arguments.folder, arguments.repair),
        *check_cache(arguments.repair),
        *check_environment(arguments.folder),
    ]
    table = Table("", "", "", show_header=False)
    for finding in findings:
        table.add_row(finding.about, Text(finding.state, COLOURS[finding.state]), Text(finding.said))
    Console().print(table)
    if any(finding.state == "wrong" for finding in findings):
        raise SystemExit(1)


if __name__ == "__main__":
    exit_cleanly(main)
