"""One record: ``colarepro show 3f2a``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.pretty import pprint
from rich.table import Table

from colarepro.errors import exit_cleanly
from colarepro.results import Record, Store


@dataclass(frozen=True)
class Arguments:
    """Show a record: what was asked, its scores and what it cost."""

    run: Annotated[str, tyro.conf.Positional]
    """The run's identity, or as much of its beginning as no other has."""
    output: Path = Path("runs/llm")
    """Folder of records."""


def main() -> None:
    arguments = tyro.cli(Arguments)
    store = Store(arguments.output)
    record = store.find(arguments.run)
    pprint(record.config, expand_all=True)
    show(record, store)


def show(record: Record, store: Store) -> None:
    """Print what a reader of one run wants to know."""
    config = record.config
    what = f"{config['method']} on {config['task']} with {config['model']}" if record.kind == "llm" else record.kind
    title = f"{what}: {record.status}"
    path = store.holder(record.identity)
    table = Table("", "", title=title, caption=record.reason or str(path), show_header=False, min_width=60)
    for name, value in (record.scores | record.costs).items():
        number = value if isinstance(value, int | float) else float("nan")
        table.add_row(name.replace("_", " "), f"{number:,.4f}" if abs(number) < 10 else f"{number:,.0f}")
    Console().print(table)


if __name__ == "__main__":
    exit_cleanly(main)
