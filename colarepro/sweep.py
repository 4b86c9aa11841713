"""Many runs: ``colarepro sweep table1``, several sweeps at once, or a YAML file of one's own."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from rich.console import Console
from transformers.utils import logging

from colarepro.errors import ColaError, exit_cleanly
from colarepro.results import Store
from colarepro.runs.config import check_tracker
from colarepro.runs.devices import confine, devices
from colarepro.runs.run_all import run_all
from colarepro.runs.sweep import Sweep, joined, load_sweep
from colarepro.status import summary


@dataclass(frozen=True)
class Selection:
    """Which sweeps, and what of them to change."""

    names: Annotated[tuple[str, ...], tyro.conf.Positional]
    """table1, table2, chain-length, rank-step-down, cost, or the path of a YAML file; of several, the first is begun
    first, and a run that is in two is one."""
    model: str | None = None
    """Another model than the file's: smollm2-135m, tiny, a folder, or a hub id."""
    data_dir: Path | None = None
    """Folder with the tasks in the official layout; without it they come from the hub."""
    dtype: str | None = None
    """float32 or bfloat16, for another one than the file's."""
    task: tuple[str, ...] = ()
    """These tasks in place of the file's."""
    learning_rate: tuple[float, ...] = ()
    """These learning rates in place of the file's."""

    def load(self) -> Sweep:
        """The sweeps with these changes, as one."""
        if not self.names:
            raise ColaError("No sweep was named; expected one or more.")
        changes: dict[str, Any] = {
            name: getattr(self, name)
            for name in ("model", "data_dir", "dtype", "task", "learning_rate")
            if getattr(self, name)
        }
        return joined([load_sweep(name, changes) for name in self.names])


@dataclass(frozen=True)
class Arguments:
    """Perform the runs of a sweep that have no record yet. Interrupt it at will: the same command goes on."""

    selection: Annotated[Selection, tyro.conf.arg(name="")]
    output: Path = Path("runs/llm")
    """Folder of records."""
    device: str = "auto"
    """cpu, cuda, cuda:1; auto takes every GPU, or the CPU."""
    on: Literal["local", "ray"] = "local"
    """This machine, or the Ray cluster that RAY_ADDRESS names; its nodes had better see OUTPUT too."""
    jobs: int = 0
    """Processes at once, dealt over the devices; 0 is one a device. On Ray the cluster decides."""
    fleet: int | None = None
    """Runs that share one base at once; by default as many as fill a GPU, and one on a CPU."""
    retry_failed: bool = False
    """Perform failed runs again."""
    keep: bool = False
    """Keep the trained models in OUTPUT/models."""
    report_to: str = "none"
    """A tracker that transformers knows."""


def main() -> None:
    arguments = tyro.cli(Arguments)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    sweep = arguments.selection.load()
    places = [arguments.device] if arguments.on == "ray" else devices(arguments.device)
    check_tracker(arguments.report_to)
    if arguments.jobs < 0 or (arguments.fleet or 1) < 1:
        raise ColaError(f"jobs is {arguments.jobs} and fleet {arguments.fleet}; expected 0, and 1, or more.")
    if arguments.on == "ray" and arguments.jobs:
        raise ColaError(
            f"jobs is {arguments.jobs}; on a Ray cluster expected none, since its nodes' CPUs and GPUs decide."
        )
    jobs = arguments.jobs or len(places)
    if jobs == 1 and arguments.on == "local":
        places = [confine(places[0])]
    records = run_all(
        sweep.configs,
        Store(arguments.output),
        places,
        jobs=jobs,
        fleet=arguments.fleet,
        retry_failed=arguments.retry_failed,
        keep=arguments.keep,
        report_to=arguments.report_to,
        description=sweep.name,
        on=arguments.on,
    )
    Console().print(summary(records, len(sweep.configs)))
    if any(record.status == "failed" for record in records):
        raise ColaError("Some runs failed, for the reasons above; --retry-failed performs them again.")


if __name__ == "__main__":
    exit_cleanly(main)
