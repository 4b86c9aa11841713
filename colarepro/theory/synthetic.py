"""Run the theory experiments: ``python -m colarepro.theory.synthetic``.

See these first: `problem` and `method` (the contracts), `experiments` (what is run), `claims` (what it says),
../../theory (the proofs).
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import tyro
from rich.console import Console
from rich.progress import track

from colarepro.errors import ColaError, exit_cleanly
from colarepro.results import Record, Store
from colarepro.theory.experiments import FULL, QUICK, Settings, run_all
from colarepro.theory.table import tables


@dataclass(frozen=True)
class Command:
    """Measure every claim on synthetic problems, print tables, and leave records and plots."""

    output: Path = Path("runs/theory")
    """Folder of records and plots; what it already answers is not run again."""
    quick: bool = False
    """Fewer seeds and steps, in seconds, without plots; the settings below are then not read."""
    full: bool = False
    """A hundred seeds and four times the steps, for publication; the settings below are then not read."""
    workers: int = field(default_factory=lambda: min(8, os.cpu_count() or 1))
    """Processes."""
    settings: Settings = field(default_factory=Settings)

    def chosen(self) -> Settings:
        """The settings that this command asks for."""
        if self.quick and self.full:
            raise ColaError("--quick and --full were both given; expected one of them.")
        return QUICK if self.quick else FULL if self.full else self.settings


def main() -> None:
    """Run, write, print."""
    command = tyro.cli(Command, config=(tyro.conf.OmitArgPrefixes,))
    records = run_all(command.chosen(), Store(command.output), command.workers)
    console = Console()
    if not console.is_terminal:  # a pipe has no width; do not fold the tables to 80 columns
        console = Console(width=140)
    for table in tables(records):
        console.print(table)
    console.print(f"{len(records)} records in {command.output}")
    if command.quick:
        console.print("Of few seeds and steps: a look at what is asked. The verdicts that count are the full run's.")
    else:
        draw(records, command.output / "plots")
        console.print(f"plots in {command.output / 'plots'}")


def draw(records: Sequence[Record], folder: Path) -> None:
    """Every theory figure of these records."""
    from colarepro.figures import FIGURES  # seconds of import that --quick does not need

    for figure in track([figure for figure in FIGURES.values() if figure.kind == "theory"], description="plots"):
        figure.write(records, folder)


if __name__ == "__main__":
    exit_cleanly(main)
