"""How one run speeds up on more GPUs: tokens a second of the Llama-2-7B shape, its frozen weights sharded by FSDP2.

    torchrun --nproc-per-node 1 benchmarks/scaling.py
    torchrun --nproc-per-node 2 benchmarks/scaling.py
    python benchmarks/scaling.py --draw

Every process has its own batch of the same size, so that twice as many do twice the work a step. One process has all
weights and gathers none. Rows are appended to scaling.jsonl; --draw makes scaling.png of them.
"""

import gc
import json
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro
from transformers import TrainerCallback
from transformers.utils import logging

from colarepro.bench.clock import Clock
from colarepro.bench.setting import Dtype, Setting
from colarepro.errors import ColaError, exit_cleanly
from colarepro.results import environment
from colarepro.runs import ranks
from colarepro.runs.devices import confine, devices
from colarepro.runs.finetune import finetune
from colarepro.runs.material import gather

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Arguments:
    """Measure LoRA and chains in the Trainer, on as many processes as were launched."""

    shape: str = "llama-2-7b"
    batch: int = 32
    """Prompts of every process."""
    length: int = 256
    """Tokens of a prompt."""
    chain: tuple[int, ...] = (1, 2)
    """Lengths of the chain; 1 is LoRA."""
    steps: int = 5
    repeats: int = 3
    device: str = "auto"
    dtype: Dtype = "bfloat16"
    folder: Path = HERE
    draw: bool = False
    """Only draw what was measured of this shape, batch, length and dtype."""


def measure(arguments: Arguments, device: str, scratch: Path) -> Iterator[dict[str, Any]]:
    """A row a chain, the same on every process; all see ``scratch``."""
    setting = Setting(
        arguments.shape,
        arguments.length,
        scratch,
        device,
        arguments.dtype,
        arguments.steps,
        arguments.repeats,
        arguments.batch * ranks.count(),
    )
    ranks.by_first(setting.write)
    for links in arguments.chain:
        gc.collect()  # the chain before
        clock = Clock(setting)

        class Tick(TrainerCallback):
            def on_step_end(self, *_: Any, clock: Clock = clock, **__: Any) -> None:
                clock.tick()

        record = finetune(
            gather(setting.config(links), device),
            progress=False,
            folder=None,
            keep=None,
            report_to="none",
            sharded=ranks.count() > 1,
            watch=lambda _, tick=Tick: tick(),
        )
        yield {
            "shape": arguments.shape,
            "length": arguments.length,
            "batch": arguments.batch,
            "processes": ranks.count(),
            "links": links,
            "ms_a_step": 1000 * clock.seconds,
            "ms_a_knot": 1000 * record.costs["seconds_knots"] / max(1, links - 1),
            "tokens_a_second": setting.batch * arguments.length / clock.seconds,
            "peak_gib": record.costs.get("peak_bytes", 0.0) / 2**30,
            "loss_last": record.curves["loss"][-1],
            **environment(device),
            "dtype": arguments.dtype,
        }


def draw(arguments: Arguments) -> None:
    """Tokens a second against the processes, beside as many times those of one; the last row of each counts."""
    path = arguments.folder / "scaling.jsonl"
    asked = {name: getattr(arguments, name) for name in ("shape", "batch", "length", "dtype")}
    lines = path.read_text().splitlines() if path.exists() else []
    found = [row for row in map(json.loads, lines) if asked.items() <= row.items()]
    if not found:
        said = ", ".join(f"{name} {value}" for name, value in asked.items())
        raise ColaError(f"{path} has no row of {said}; expected some, measured without --draw.")

    import matplotlib.pyplot as plt
    import pandas as pd

    from colarepro.figures.style import COLOURS, MARKERS, REFERENCE, style

    rows = pd.DataFrame(found).drop_duplicates(["processes", "links"], keep="last")
    with style():
        canvas, axes = plt.subplots(figsize=(3.4, 2.6))
        one = rows.loc[rows["processes"] == 1, "tokens_a_second"].max()
        counts = sorted(rows["processes"].unique())
        axes.plot(counts, [one * count for count in counts], color=REFERENCE, linestyle=":", label="one, so many times")
        for place, (links, own) in enumerate(rows.sort_values("processes").groupby("links")):
            arm = "LoRA" if links == 1 else f"COLA, {links} links"
            axes.plot(own["processes"], own["tokens_a_second"], color=COLOURS[place], marker=MARKERS[place], label=arm)
        axes.set(xlabel="GPUs", ylabel="tokens a second", ylim=(0, None), xticks=counts)
        axes.legend(loc="lower right")
        canvas.savefig(path.with_suffix(".png"))
        plt.close(canvas)


def main() -> None:
    arguments = tyro.cli(Arguments)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    if arguments.draw:
        draw(arguments)
        return
    device = devices(arguments.device)[0]
    device = confine(device) if ranks.count() == 1 else ranks.join(device)
    scratch = Path(ranks.by_first(lambda: tempfile.mkdtemp(prefix="colarepro-")))
    try:
        for row in measure(arguments, device, scratch):
            if ranks.is_first():
                with (arguments.folder / "scaling.jsonl").open("a") as file:
                    file.write(json.dumps(row) + "\n")
                print({name: row[name] for name in ("processes", "links", "ms_a_step", "tokens_a_second")}, flush=True)
    finally:
        if ranks.is_first():
            shutil.rmtree(scratch)
    ranks.leave()


if __name__ == "__main__":
    exit_cleanly(main)
