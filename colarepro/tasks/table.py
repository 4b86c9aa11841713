"""A table of tasks: ``python -m colarepro.tasks.table --data-dir FOLDER --tokenizers smollm2-135m``.

Look here before a run on data of your own: are there enough rows, do prompts fit, is every verbalizer one token?
"""

import re
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import tyro
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from colarepro.errors import ColaError, exit_cleanly
from colarepro.files import written_aside
from colarepro.models.load import OFFLINE, explained, hold_to_positions, load_shape, source_of
from colarepro.tasks import known_tasks, load_task
from colarepro.tasks.facts import task_facts


@dataclass(frozen=True)
class Arguments:
    """Show what tasks hold: sizes, labels, majority shares, prompt lengths, and verbalizers as tokens."""

    data_dir: Path | None = None
    """Folder with the tasks in the official layout; without it they come from the hub, yours from beside its YAML."""
    tasks: tuple[str, ...] = field(default_factory=lambda: tuple(known_tasks()))
    """Names, or paths of tasks' YAML files."""
    tokenizers: tuple[str, ...] = ()
    """smollm2-135m, tiny, folders, or hub ids such as facebook/opt-1.3b."""
    max_length: int = 2048
    """Tokens of a prompt with its longest verbalizer; longer ones count as cut."""
    data_seed: int = 0
    """Of the draw."""
    output: Path | None = None
    """CSV file for the same facts."""


def main() -> None:
    arguments = tyro.cli(Arguments)
    if arguments.max_length < 1:
        raise ColaError(f"max_length is {arguments.max_length}; expected 1 or more.")
    tokenizers = {Path(name).name: load_tokenizer(name) for name in arguments.tokenizers}
    tasks = [load_task(name) for name in arguments.tasks]
    facts = task_facts(tasks, tokenizers, arguments.data_dir, arguments.max_length, arguments.data_seed)
    show(facts, len(tokenizers))
    if arguments.output is not None:
        with written_aside(arguments.output) as aside:
            facts.to_csv(aside, index=False, float_format="%.4f", lineterminator="\n")


def load_tokenizer(name: str) -> Any:
    """The tokenizer of a model that needs no hub, of a local folder, or of a hub id, held to the model's positions.

    Code of its own is never run. Raises `ColaError` if there is none or it cannot be read.
    """
    from transformers import AutoTokenizer

    # A folder may hold a tokenizer alone, which is no model.
    source = name if name not in OFFLINE and Path(name).is_dir() else source_of(name)
    with explained(f"Tokenizer {name}"):
        tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    with suppress(ColaError):  # a tokenizer alone knows no model's positions
        hold_to_positions(tokenizer, load_shape(name))
    return tokenizer


def show(facts: pd.DataFrame, tokenizers: int) -> None:
    """Print the data's facts with a column a task, there being more facts than tasks, and the tokens' with a row
    each."""
    split = facts.columns.get_loc("tokenizer") if tokenizers else len(facts.columns)
    data = facts.iloc[:: max(tokenizers, 1), :split].rename(columns=_words).set_index("task").T.reset_index(names="")
    tokens = facts[["task", *facts.columns[split:]]].rename(columns=_words)
    titled = {"Rows and labels": data} | ({"Tokens of prompts and verbalizers": tokens} if tokenizers else {})
    for title, part in titled.items():
        table = Table(title=title, title_justify="left", box=SIMPLE, padding=(0, 1, 0, 0), pad_edge=False)
        cells = part.map(lambda cell: f"{cell:.3f}" if isinstance(cell, float) else str(cell))
        for heading, column in cells.items():
            widest = max(map(len, " ".join([str(heading), *column]).split()))  # lines break between words only
            table.add_column(Text(str(heading).replace(" ", "\n")), min_width=widest)
        for row in cells.itertuples(index=False):
            table.add_row(*map(Text, row))  # as text, since a token may look like markup
        Console().print(table)


def _words(name: str) -> str:
    name = re.sub(r"tokens_(\d+)", r"\1%", name).removeprefix("tokens_").removeprefix("verbalizer_")
    return name.replace("_", " ")


if __name__ == "__main__":
    exit_cleanly(main)
