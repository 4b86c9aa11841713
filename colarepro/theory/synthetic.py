"""Run the theory experiments: ``python -m colarepro.theory.synthetic``.

See these first: `problem` and `method` (the contracts), `experiments` (what is run), ../../theory (the proofs).
"""

from dataclasses import dataclass, field
from pathlib import Path

import tyro
from rich.console import Console

from colarepro.errors import exit_cleanly
from colarepro.figures import FIGURES
from colarepro.results import Store
from colarepro.theory.experiments import QUICK, Settings, run_all
from colarepro.theory.table import tables


@dataclass(frozen=True)
class Command:
    """Measure every claim on synthetic problems, print tables, and leave records and plots."""

    output: Path = Path("runs/theory")
    """Folder of records and plots; what it already answers is not run again."""
    quick: bool = False
    """Fewer seeds and steps, in seconds; the settings below are then not read."""
    settings: Settings = field(default_factory=Settings)


def main() -> None:
    """Run, write, print."""
    command = tyro.cli(Command, config=(tyro.conf.OmitArgPrefixes,))
    records = run_all(QUICK if command.quick else command.settings, Store(command.output))
    console = Console()
    if not console.is_terminal:  # a pipe has no width; do not fold the tables to 80 columns
        console = Console(width=120)
    for table in tables(records):
        console.print(table)
    for figure in FIGURES.values():
        if figure.kind == "theory":
            figure.write(records, command.output / "plots")
    console.print(f"{len(records)} records in {command.output}, plots in {command.output / 'plots'}")


if __name__ == "__main__":
    exit_cleanly(main)
