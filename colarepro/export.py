"""A kept model for others: ``colarepro export RUN --to adapter FOLDER``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from colarepro.errors import exit_cleanly
from colarepro.results import Store
from colarepro.runs.keep import export_kept


@dataclass(frozen=True)
class Arguments:
    """Write a model that `colarepro run --keep` kept, as an adapter for PEFT or as a whole model for transformers."""

    run: Annotated[str, tyro.conf.Positional]
    """The run's identity, or as much of its beginning as no other has."""
    folder: Annotated[Path, tyro.conf.Positional]
    """Where to write it; it must not exist yet."""
    to: Literal["adapter", "merged"] = "adapter"
    """An adapter that PEFT loads over the base model, a chain's links joined; or the base with the update merged."""
    model: str | None = None
    """The run's base model, if it was a folder, of which the record knows the name alone."""
    output: Path = Path("runs/llm")
    """Folder of records."""


def main() -> None:
    arguments = tyro.cli(Arguments)
    store = Store(arguments.output)
    record = store.find(arguments.run)
    print(export_kept(record, store, arguments.to, arguments.folder, arguments.model))


if __name__ == "__main__":
    exit_cleanly(main)
