"""What happens inside a chain: ``colarepro anatomy --data-dir FOLDER --text FILE``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro
from rich.console import Console
from rich.table import Table
from transformers.utils import logging

from colarepro.anatomy.arms import ARMS, arm
from colarepro.anatomy.examine import Question, Text
from colarepro.anatomy.examine_all import examine_all
from colarepro.anatomy.perplexity import read_text
from colarepro.errors import ColaError, exit_cleanly
from colarepro.results import Store
from colarepro.runs import RunConfig
from colarepro.runs.devices import devices


@dataclass(frozen=True)
class Arguments:
    """Train chains, and look at them at the start, at every epoch's end, before and after every knot: Frank-Wolfe gap,
    spectrum, angles between links, intruder dimensions, perplexity on other text. What has a record is not repeated."""

    task: tuple[str, ...] = ("rte", "wic")
    arm: tuple[str, ...] = tuple(ARMS)
    """lora, cola-2, cola-3, lora-rank-sum-2, cola-2-same-A."""
    learning_rate: tuple[float, ...] = (5e-4,)
    draw: tuple[int, ...] = (0, 1, 2)
    """Seeds, each of the data's draw and of the training."""
    model: str = "smollm2-135m"
    """smollm2-135m, tiny, a folder, or a hub id."""
    dtype: Literal["float32", "bfloat16"] = "bfloat16"
    data_dir: Path | None = None
    """Folder with the tasks in the official layout; without it they come from the hub."""
    epochs: int = 5
    max_steps: int | None = None
    max_length: int = 2048
    sample: int = 256
    """Training examples that give the loss and its gradient."""
    text: Path | None = None
    """Text file for perplexity; by default WikiText-2's test split, from the hub."""
    text_tokens: int = 40_000
    """How much of it, from its beginning."""
    window: int = 1024
    """Tokens that are predicted together."""
    output: Path = Path("runs/anatomy")
    """Folder of records."""
    device: str = "auto"
    """cpu, cuda, cuda:1; auto takes every GPU, or the CPU."""
    jobs: int = 0
    """Processes at once, dealt over the devices; 0 is one a device."""

    def questions(self) -> list[Question]:
        """Every combination."""
        for option in ("sample", "text_tokens", "window"):
            if getattr(self, option) < 2:
                raise ColaError(f"{option} is {getattr(self, option)}; expected 2 or more.")
        if self.jobs < 0:
            raise ColaError(f"jobs is {self.jobs}; expected 0 or more.")
        text = Text(read_text(self.text), self.text_tokens, self.window)
        return [
            Question(
                RunConfig(
                    task=task,
                    model=self.model,
                    dtype=self.dtype,
                    data_dir=self.data_dir,
                    learning_rate=rate,
                    seed=draw,
                    data_seed=draw,
                    epochs=self.epochs,
                    max_steps=self.max_steps,
                    max_length=self.max_length,
                    **arm(name),
                ),
                self.sample,
                text,
            )
            for draw in self.draw
            for task in self.task
            for rate in self.learning_rate
            for name in self.arm
        ]


def main() -> None:
    arguments = tyro.cli(Arguments)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    places = devices(arguments.device)
    store = Store(arguments.output)
    records = examine_all(arguments.questions(), store, places, arguments.jobs or len(places))
    table = Table("run", "task", "method", "links", "status", "gap", "rank", "intruders", "perplexity", "seconds")
    for record in records:
        scores = [
            record.scores.get(f"{name}_last", float("nan")) for name in ("gap", "rank", "intruders", "perplexity")
        ]
        links = len(record.curves.get("knots", [])) + 1
        words = (
            record.identity,
            record.config["task"],
            record.config["method"],
            str(links),
            record.reason or record.status,
        )
        table.add_row(*words, *(f"{score:.4g}" for score in scores), f"{record.costs.get('seconds_watch', 0):.0f}")
    Console().print(table)
    if any(record.status == "failed" for record in records):
        raise ColaError("Some runs failed, for the reasons above; the same command tries them again.")


if __name__ == "__main__":
    exit_cleanly(main)
