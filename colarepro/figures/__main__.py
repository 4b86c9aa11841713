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
from colarepro.figures.figure import NoRecordError
from colarepro.figures.index import write_index
from colarepro.results import Record, Store


@dataclass(frozen=True)
class Arguments:
    """Draw figures from records; what theory still lacks is computed first."""

    what: Annotated[str, tyro.conf.Positional]
    """all, list, or a figure's name."""
    output: Path = Path("paper_figures")
    """Where figures, their CSVs and the index page go."""
    records: Path = Path("data/results")
    """Records of language models."""
    theory: Path = Path("data/theory")
    """Records of theory; what is not there is computed, in about a minute for all, and kept there."""


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
    written = {}
    for wanted in chosen:
        try:
            written[wanted.name] = wanted.write(records, arguments.output)
        except NoRecordError as error:
            if arguments.what != "all":
                raise
            console.print(f"not drawn: {error}")
            continue
        console.print(f"drawn: {arguments.output / wanted.name}{', '.join(written[wanted.name].suffixes)}")
    if arguments.what == "all":
        console.print(f"index: {write_index(written, arguments.output)}")


def gather(kinds: set[str], arguments: Arguments) -> list[Record]:
    """The records that these kinds of figures are drawn from."""
    records: list[Record] = []
    if kinds & {"theory", "both"}:
        from colarepro.theory.experiments import Settings, run_all

        records += run_all(Settings(), Store(arguments.theory), workers=min(8, os.cpu_count() or 1))
    if kinds & {"llm", "anatomy", "both"}:
        records += Store(arguments.records)
    return records


if __name__ == "__main__":
    exit_cleanly(main)
