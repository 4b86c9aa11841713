"""Does a step take as long after 500 knots as after ten? ``python benchmarks/knots.py``, about a minute on a CPU.

A chain that ties a knot every few steps and a LoRA that never does (a chain of one link) take turns, step by step, so
that whatever else the machine does slows both. Compared is the chain's step over the LoRA's.
"""

import os
import platform
import tempfile
import time
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import tyro
from peft import LoraConfig, get_peft_model
from rich import box
from rich.console import Console
from rich.table import Table

from colarepro.chain import Chain, Schedule
from colarepro.models import tiny
from colarepro.models.load import load

BATCH = (4, 64)
"""Sequences, and tokens of each."""
SKIPPED, COMPARED = 10, 50
"""Links at the start that are left out, and links compared after them and at the end."""


class Run:
    """The tiny model with LoRA, and its plain loop."""

    def __init__(self, base: Path, schedule: Schedule, total_steps: int) -> None:
        torch.manual_seed(0)
        config = LoraConfig(r=8, lora_alpha=16, target_modules=["q_proj", "v_proj"])
        self.model: Any = get_peft_model(load(str(base)).model, config).train()
        trained = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.AdamW(trained, lr=1e-4)
        self.chain = Chain(self.model, schedule, total_steps=total_steps, optimizer=self.optimizer)

    def step(self, tokens: torch.Tensor) -> float:
        """Seconds that one optimizer step takes, with the knot if one is due."""
        started = time.perf_counter()
        self.model(input_ids=tokens, labels=tokens).loss.backward()
        self.optimizer.step()
        self.chain.step()
        self.optimizer.zero_grad()
        return time.perf_counter() - started


def measured(knots: int, steps: int, fold: Literal["merge", "stack"]) -> np.ndarray:
    """Seconds of every step: (links, steps of a link, chain and LoRA). A link's last step has the knot."""
    links = knots + 1
    with tempfile.TemporaryDirectory() as folder:
        tiny.build(Path(folder), steps=2)  # an untrained model is as fast
        runs = [Run(Path(folder), Schedule(length=count, fold=fold), links * steps) for count in (links, 1)]
    vocabulary = runs[0].model.config.vocab_size
    seconds = np.empty((links * steps, 2))
    for number in range(links * steps):
        tokens = torch.randint(4, vocabulary, BATCH, generator=torch.Generator().manual_seed(number))
        for place in (0, 1) if number % 2 else (1, 0):
            seconds[number, place] = runs[place].step(tokens)
    assert runs[0].chain.link == knots
    assert runs[1].chain.link == 0
    return seconds.reshape(links, steps, 2)


def table_of(seconds: np.ndarray) -> Table:
    """Medians with quartiles, early and late, and the late ratio over the early one."""
    spans = {"early": slice(SKIPPED, SKIPPED + COMPARED), "late": slice(-1 - COMPARED, -1)}  # the last ties no knot
    table = Table(box=box.MARKDOWN)
    for column in ("step", "links", "chain, ms", "LoRA, ms", "chain / LoRA", "late / early"):
        table.add_column(column, justify="left" if column in ("step", "links") else "right")
    for kind, steps in {"within a link": slice(None, -1), "with its knot": slice(-1, None)}.items():
        parts = {name: seconds[span, steps] for name, span in spans.items()}
        low, high = np.quantile([_late_over_early(parts, draw) for draw in _draws()], [0.025, 0.975])
        for name, span in spans.items():
            part, numbers = parts[name], range(1, len(seconds) + 1)[span]
            chain, lora = part.reshape(-1, 2).T
            change = f"{_late_over_early(parts):.3f} ({low:.3f} to {high:.3f})" if name == "late" else ""
            ratio = _with_quartiles(chain / lora, "{:.3f}")
            times = [_with_quartiles(1000 * one, "{:.2f}") for one in (chain, lora)]
            table.add_row(kind, f"{numbers[0]} to {numbers[-1]}", *times, ratio, change)
    return table


def _late_over_early(parts: dict[str, np.ndarray], draw: Any = slice(None)) -> float:
    late, early = (np.median(parts[name][draw][..., 0] / parts[name][draw][..., 1]) for name in ("late", "early"))
    return float(late / early)


def _draws() -> np.ndarray:
    """Links drawn with replacement, (2000, compared)."""
    return np.random.default_rng(0).integers(COMPARED, size=(2000, COMPARED))


def _with_quartiles(values: np.ndarray, form: str) -> str:
    low, middle, high = (form.format(value) for value in np.quantile(values, [0.25, 0.5, 0.75]))
    return f"{middle} ({low} to {high})"


def main(knots: int = 500, steps: int = 10, fold: Literal["merge", "stack"] = "merge", threads: int = 1) -> None:
    """Tie so many knots, one every so many steps, and print the table."""
    torch.set_num_threads(threads)
    seconds = measured(knots, steps, fold)
    console = Console(width=140)
    console.print(table_of(seconds))
    console.print(
        f"{seconds.sum():.0f} s on {platform.processor() or platform.machine()}, {os.cpu_count()} cores, {threads} "
        f"threads, torch {torch.__version__}, Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}"
    )


if __name__ == "__main__":
    tyro.cli(main)
