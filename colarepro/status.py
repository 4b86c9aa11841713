"""What a folder of records holds: ``colarepro status``."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro
from rich.console import Console, Group
from rich.table import Table

from colarepro.errors import ColaError, exit_cleanly
from colarepro.results import Record, Store
from colarepro.results.unfinished import steps_done


@dataclass(frozen=True)
class Arguments:
    """Count the runs by method and task, with the reasons of those that failed or diverged."""

    output: Path = Path("runs/llm")
    """Folder of records."""


def main() -> None:
    arguments = tyro.cli(Arguments)
    if not arguments.output.is_dir():
        raise ColaError(f"There is no folder {arguments.output}; expected one of records, as runs write it.")
    records = list(Store(arguments.output))
    Console().print(summary(records, len(records)))
    for folder in sorted((arguments.output / "unfinished").glob("*/")):
        steps = steps_done(folder)
        print(f"unfinished: {folder.name}" + (f", last checkpoint at step {steps}" if steps else ""))


def summary(records: Sequence[Record], total: int) -> Group:
    """Finished runs by method and task, and a line for every run that did not end well."""
    runs = [record for record in records if record.kind == "llm"]
    tasks = sorted({record.config["task"] for record in runs})
    table = Table("method", *tasks)
    done = Counter((record.config["method"], record.config["task"]) for record in runs if record.status == "done")
    for name in dict.fromkeys(record.config["method"] for record in runs):
        table.add_row(name, *(str(done[name, task]) for task in tasks))
    bad = [
        f"{record.status}: {record.identity} ({record.config['method']}, {record.config['task']}): {record.reason}"
        for record in runs
        if record.status != "done"
    ]
    return Group(f"{len(records)} of {total} runs have a record", table, *bad)


if __name__ == "__main__":
    exit_cleanly(main)
