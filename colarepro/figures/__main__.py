"""Draw figures: ``python -m colarepro.figures all``, ``list``, or a figure's name."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.table import Table

from colarepro.errors import exit_cleanly
from colarepro.figures import FIGURES, figure
from colarepro.figures.index import write_index
from colarepro.results import Record, Store


@dataclass(frozen=True)
class Arguments:
    """Draw figures from records; records that theory and the tiny tier still lack are computed first."""

    what: Annotated[str, tyro.conf.Positional]
    """all, list, or a figure's name."""
    output: Path = Path("paper_figures")
    """Where figures, their CSVs and the index page go."""
    records: Path = Path("data/results")
    """Records of runs on real data."""
    runs: Path = Path("runs")
    """Where computed records are kept; what is there is not computed again."""
    data_dir: Path = Path("data/miniature")
    """The miniature tasks."""


def main() -> None:
    arguments = tyro.cli(Arguments)
    console = Console()
    if arguments.what == "list":
        table = Table("name", "title")
        for wanted in FIGURES.values():
            table.add_row(wanted.name, wanted.title)
        console.print(table)
        return
    chosen = list(FIGURES.values()) if arguments.what == "all" else [figure(arguments.what)]
    records = gather({wanted.kind for wanted in chosen}, arguments)
    captions = {}
    for wanted in chosen:
        captions[wanted.name] = wanted.write(records, arguments.output)
        console.print(f"drawn: {arguments.output / wanted.name}.pdf, .png, .csv")
    if arguments.what == "all":
        console.print(f"index: {write_index(captions, arguments.output)}")


def gather(kinds: set[str], arguments: Arguments) -> list[Record]:
    """The records that these kinds of figures are drawn from."""
    records: list[Record] = []
    if "theory" in kinds:
        from colarepro.theory.experiments import Settings, run_all

        records += run_all(Settings(), Store(arguments.runs / "theory"), workers=min(8, os.cpu_count() or 1))
    if "llm" in kinds:
        from colarepro.models import fetch, tiny
        from colarepro.runs.run_all import run_all as perform_all
        from colarepro.runs.tiny_tier import tiny_tier

        fetch("tiny")  # once, before several processes want it
        store = Store(arguments.runs / f"tiny-{tiny.VERSION}")
        jobs = max(2, os.cpu_count() or 1)  # always processes of one thread each: sums depend on the threads
        records += perform_all(tiny_tier(arguments.data_dir), store, jobs=jobs, description="tiny tier")
        records += Store(arguments.records)
    return records


if __name__ == "__main__":
    exit_cleanly(main)
