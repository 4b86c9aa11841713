"""What a sweep would take: ``colarepro plan table1``."""

from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.progress import track
from rich.table import Table

from colarepro.errors import exit_cleanly
from colarepro.results import Store
from colarepro.runs.config import RunConfig
from colarepro.runs.estimate import FLOPS_PER_SECOND, SECONDS_PER_LAYER, Estimate, estimate
from colarepro.sweep import Selection


@dataclass(frozen=True)
class Arguments:
    """Runs, FLOPs, GPU hours and memory of a sweep, by task and method, from the model's shape, the tokenizer and the
    data; no weights are loaded. Hours are those of one H200 in bfloat16, one run at a time."""

    selection: Annotated[Selection, tyro.conf.arg(name="")]
    output: Path = Path("runs/llm")
    """Folder of records; runs that have one there are not counted as to do."""


def main() -> None:
    arguments = tyro.cli(Arguments)
    sweep, store = arguments.selection.load(), Store(arguments.output)
    groups: dict[tuple[str, str], list[tuple[RunConfig, Estimate]]] = defaultdict(list)
    known: dict[RunConfig, Estimate] = {}
    for config in track(sweep.configs, description=f"planning {sweep.name}"):
        # Neither learning rate nor draw changes what a run takes, but for a little in the lengths.
        alike = replace(config, learning_rate=1.0, seed=0, data_seed=0)
        if alike not in known:
            known[alike] = estimate(alike)
        groups[Path(config.task).stem, config.method].append((config, known[alike]))

    table = Table("task", "method", title=sweep.description)
    for name in ("runs", "to do", "FLOPs a run", "GPU hours to do", "memory (GiB)"):
        table.add_column(name, justify="right")
    to_do, hours = 0, 0.0
    for (task, method), runs in groups.items():
        missing = [each for config, each in runs if store.get("llm", config.question()) is None]
        to_do, hours = to_do + len(missing), hours + sum(each.seconds for each in missing) / 3600
        table.add_row(
            task,
            method,
            str(len(runs)),
            str(len(missing)),
            f"{max(each.flops for _, each in runs):.2e}",
            f"{sum(each.seconds for each in missing) / 3600:.2f}",
            f"{max(each.bytes for _, each in runs) / 2**30:.1f}",
        )
    table.add_section()
    table.add_row("all", "", str(len(sweep.configs)), str(to_do), "", f"{hours:.1f}", "")
    table.caption = (
        f"seconds a run: steps x layers x {1000 * SECONDS_PER_LAYER:.1f} ms, or FLOPs / {FLOPS_PER_SECOND:.0e} if that "
        "is more, one run at a time, so fleets take less; memory: weights, optimizer, activations of the longest batch"
    )
    Console().print(table)


if __name__ == "__main__":
    exit_cleanly(main)
