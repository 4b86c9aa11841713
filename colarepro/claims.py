"""The ledger of claims and the report, from records: ``python -m colarepro.claims``."""

from dataclasses import dataclass
from pathlib import Path

import tyro
from rich.console import Console

from colarepro.errors import ColaError, exit_cleanly
from colarepro.files import written_aside
from colarepro.ledger import Evidence, Reported, ledger, read_pools, report, sections
from colarepro.results import Store
from colarepro.theory.claims import refuse_mixed


@dataclass(frozen=True)
class Arguments:
    """Judge every claim by the records and write CLAIMS.md and REPORT.md."""

    records: Path = Path("data/results")
    """Records of language-model runs."""
    theory: Path = Path("data/theory")
    """Records of `python -m colarepro.theory.synthetic`."""
    reported: Path = Path("data/reported.csv")
    """The numbers that papers report."""
    tasks: Path = Path("data/tasks.csv")
    """Facts on the tasks, of which the size of the validation split is read."""
    benchmark: Path = Path("benchmarks/training.jsonl")
    """Rows of `python -m colarepro.bench`."""
    output: Path = Path(".")
    """Where the two files go."""


def main() -> None:
    arguments = tyro.cli(Arguments)
    for name, text in write(arguments).items():
        with written_aside(arguments.output / name) as aside:
            aside.write_text(text, encoding="utf-8")
        Console().print(f"written: {arguments.output / name}")


def write(arguments: Arguments) -> dict[str, str]:
    """The files' texts by name; raises `ColaError` if a folder of records is not there, or a table cannot be read."""
    for folder in (arguments.records, arguments.theory):
        if not folder.is_dir():  # a misspelt one would have everything "not measured"
            raise ColaError(f"There is no folder {folder} with records.")
    reported = Reported.read(arguments.reported)
    evidence = Evidence(Store(arguments.records), read_pools(arguments.tasks))
    theory = list(Store(arguments.theory))
    refuse_mixed(theory)
    judged = sections(evidence, reported, theory, arguments.benchmark)
    return {"CLAIMS.md": ledger(judged, evidence), "REPORT.md": report(judged, evidence, theory)}


if __name__ == "__main__":
    exit_cleanly(main)
