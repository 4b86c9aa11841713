"""Training speed, side by side in one process: ``python -m colarepro.bench --shapes opt-1.3b --lengths 64 256``.

(a) PEFT and transformers.Trainer with MeZO's loss, as one would write it; (b) PEFT in a plain loop with label rows;
(c) a run of ours; (d) a fleet of ours. All train rank 8 on q and v at batch 8, on the same prompts.
"""

import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import tyro
from rich.console import Console
from rich.table import Table
from transformers.utils import logging

from colarepro.bench.clock import wait
from colarepro.bench.contenders import contenders, rows
from colarepro.bench.setting import Dtype, Setting
from colarepro.errors import exit_cleanly
from colarepro.results import environment
from colarepro.runs.devices import confine, devices

SHOWN = ["shape", "length", "contender", "ms_a_step", "ms_a_knot", "examples_a_second", "tokens_a_second", "teraflops"]
SHOWN += ["share_of_ceiling", "peak_gib", "times_a"]


@dataclass(frozen=True)
class Arguments:
    """Measure training steps; medians over repeats, warm-up left out."""

    shapes: tuple[str, ...] = ("tiny",)
    """opt-1.3b, llama-2-7b, smollm2-135m, tiny."""
    lengths: tuple[int, ...] = (64,)
    """Tokens of every prompt."""
    fleet: tuple[int, ...] = (25,)
    """Sizes of the fleet."""
    chain: tuple[int, ...] = (1, 2)
    """Lengths of the chain, of our run and in the fleet; 1 is LoRA."""
    contenders: tuple[Literal["a", "b", "c", "d"], ...] = ("a", "b", "c", "d")
    """Which of the four to measure."""
    steps: int = 20
    """Measured in every repeat."""
    repeats: int = 3
    device: str = "auto"
    dtype: Dtype = "bfloat16"
    output: Path | None = None
    """JSON-lines file that the rows are appended to."""


def main() -> None:
    arguments = tyro.cli(Arguments)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    device = confine(devices(arguments.device)[0])
    ceiling = _ceiling(device, getattr(torch, arguments.dtype))
    where = environment(device) | {"dtype": arguments.dtype, "ceiling_teraflops": ceiling / 1e12}
    found: list[dict[str, Any]] = []
    for shape in arguments.shapes:
        for length in arguments.lengths:
            with tempfile.TemporaryDirectory() as folder:
                repeated = arguments.steps, arguments.repeats
                setting = Setting(shape, length, Path(folder), device, arguments.dtype, *repeated)
                setting.write()
                measured = contenders(arguments.contenders, arguments.fleet, arguments.chain)
                for row in rows(setting, measured, ceiling):
                    found.append(row)
                    if arguments.output is not None:
                        with arguments.output.open("a") as file:
                            known = {name: value for name, value in row.items() if value == value}  # NaN is no JSON
                            file.write(json.dumps(known | where) + "\n")
            _show(found, f"{where['device']}, torch {where['torch']}; matrix product {ceiling / 1e12:.1f} TFLOP/s")


def _ceiling(device: str, dtype: torch.dtype) -> float:
    """FLOPs a second of a large matrix product, the best of ten."""
    size = 8192 if device != "cpu" else 1024
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    best = float("inf")
    for _ in range(10):
        started = time.perf_counter()
        for _ in range(5):
            a @ b
        wait(device)
        best = min(best, (time.perf_counter() - started) / 5)
    return 2 * size**3 / best


def _show(found: list[dict[str, Any]], title: str) -> None:
    table = Table(title=title)
    for column in SHOWN:
        table.add_column(column.replace("_", " "), justify="left" if column in ("shape", "contender") else "right")
    for row in found:
        values = [row[column] for column in SHOWN]
        table.add_row(*(f"{value:,.2f}" if isinstance(value, float) else str(value) for value in values))
    Console(width=200).print(table)


if __name__ == "__main__":
    exit_cleanly(main)
