"""One fine-tuning run: ``python -m colarepro.run --task rte --method cola --data-dir FOLDER``."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import tyro
from rich.console import Console
from rich.pretty import pprint
from rich.table import Table
from transformers.utils import logging

from colarepro.errors import ColaError, exit_cleanly
from colarepro.results import Record, Store
from colarepro.runs import RunConfig, finetune


@dataclass(frozen=True)
class Arguments:
    """Fine-tune a language model on one task, judge it on the test set, and leave a record. A run that was interrupted
    goes on where its last checkpoint is."""

    config: Annotated[RunConfig, tyro.conf.arg(name="")]
    output: Path = Path("runs/llm")
    """Folder of records; a run that has a record there is not repeated."""
    device: str = "auto"
    """cpu, cuda, cuda:1; auto takes CUDA where there is one."""


def main() -> None:
    arguments = tyro.cli(Arguments)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    store = Store(arguments.output)
    question = arguments.config.question()
    record = store.get("llm", question)
    if record is None:
        pprint(arguments.config, expand_all=True)
        unfinished = arguments.output / "unfinished" / store.path("llm", question).stem
        record = finetune(arguments.config, _device(arguments.device), folder=unfinished)
        store.put(record)
        shutil.rmtree(unfinished, ignore_errors=True)
    show(record, store.path("llm", question))


def show(record: Record, path: Path) -> None:
    """Print what a reader of one run wants to know first."""
    config = record.config
    title = f"{config['method']} on {config['task']} with {config['model']}: {record.status}"
    table = Table("", "", title=title, caption=record.reason or str(path), show_header=False, min_width=60)
    for name, value in record.scores.items():
        table.add_row(name.replace("_", " "), f"{value:.4f}" if isinstance(value, float) else str(value))
    for name in ("parameters_trained", "tokens", "seconds_train"):
        table.add_row(name.replace("_", " "), f"{record.costs[name]:,.0f}")
    Console().print(table)


def _device(name: str) -> str:
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ColaError(f"'{name}' is no device; expected cpu, cuda, or cuda and a number.") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ColaError(f"The device '{name}' was asked for, but torch sees no CUDA device here.")
    return name


if __name__ == "__main__":
    exit_cleanly(main)
