"""Many runs: those that have a record are skipped, a failure is a record, an interruption loses nothing."""

import itertools
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Literal, TypeAlias

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from colarepro.errors import ColaError
from colarepro.fleet.group import grouped
from colarepro.fleet.size import fleet_size
from colarepro.results import Record, Store
from colarepro.runs import ranks
from colarepro.runs.attempt import attempt
from colarepro.runs.config import RunConfig
from colarepro.runs.side_by_side import side_by_side
from colarepro.runs.stored import is_missing

Size: TypeAlias = Callable[[Sequence[RunConfig], str], int]


def run_all(
    configs: Sequence[RunConfig],
    store: Store,
    devices: Sequence[str] = ("cpu",),
    *,
    jobs: int = 1,
    fleet: int | None = None,
    retry_failed: bool = False,
    keep: bool = False,
    report_to: str = "none",
    description: str = "runs",
    on: Literal["local", "ray"] = "local",
) -> list[Record]:
    """Perform what ``store`` lacks, and return the records there are, in the order of ``configs``.

    ``jobs`` processes work at once, dealt over ``devices``; each CPU process gets one thread. ``fleet`` is how many
    runs share one base where they can (`colarepro.fleet`): 1 is each alone, None as many as fill a GPU, and each
    alone on a CPU; runs that are kept or reported sail alone. A run that fails leaves a record with its reason and
    stops nothing; ``retry_failed`` performs such runs again, ``keep`` those whose model was not kept. Runs that another
    process is on are left to it. With ``on="ray"`` the nodes of a Ray cluster do the work (`colarepro.runs.on_ray`), as
    many runs or fleets at once as it has CPUs or GPUs. Raises `ColaError` if a worker is killed, or if the store cannot
    be written to.
    """
    if ranks.count() > 1:
        raise ColaError("A sweep's runs are done by processes that it starts itself; launch it without torchrun.")
    there = {config: store.get("llm", config.question()) for config in configs}
    missing = [
        config for config, record in there.items() if is_missing(record, store, keep=keep, retry_failed=retry_failed)
    ]
    # One that failed and is not tried again may be what keeps its fleet from being sized.
    asked = [run for run, record in there.items() if retry_failed or record is None or record.status != "failed"]
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with ExitStack() as stack:
        work = _in_turn if jobs == 1 else _side_by_side
        size: Size = partial(fleet_size, processes=-(-jobs // len(devices)))
        if on == "ray" and missing:
            from colarepro.runs.on_ray import connected, fleet_size_there, on_nodes  # an extra

            devices, work, size = [stack.enter_context(connected(devices[0]))], on_nodes, fleet_size_there
        alone = keep or report_to != "none" or fleet == 1 or (fleet is None and devices[0] == "cpu")
        # One by one, since to size a fleet takes a second, and the first may begin before the last is known.
        units = iter([config] for config in missing) if alone else _units(asked, set(missing), fleet, devices[0], size)
        bars = stack.enter_context(Progress(*columns, TimeRemainingColumn(elapsed_when_finished=True)))
        bar = bars.add_task(description, total=len(configs), completed=len(configs) - len(missing))
        for done in work(units, store.folder, devices, jobs, keep, report_to):
            bars.advance(bar, done)
    found = (store.get("llm", config.question()) for config in configs)
    return [record for record in found if record is not None]


def _units(
    configs: Sequence[RunConfig], missing: Set[RunConfig], fleet: int | None, device: str, size: Size
) -> Iterator[list[RunConfig]]:
    """Fleets of what is missing, and then, since small ones fill up the end, runs alone as fleets of one."""
    fleets, alone = grouped(configs)
    for runs in fleets:
        if missing.isdisjoint(runs):
            continue
        try:
            count = -(-len(runs) // (fleet or size(runs, device)))
        except ColaError:  # of one of them, which says so itself
            count = len(runs)
        yield from _cut(runs, missing, count)
    yield from ([config] for config in alone if config in missing)


def _cut(runs: Sequence[RunConfig], missing: Set[RunConfig], count: int) -> Iterator[list[RunConfig]]:
    """All runs are cut, evenly, whatever is missing: a fleet that was killed finds its state if it is made of the same
    runs. What is missing of fleets that have records in part, as after new learning rates, sails together, in fleets as
    large, cut from the front, so that these, too, are the same when the first have their records."""
    # Neighbours in a sweep have about as many links, and a fleet has room for the most links among its runs.
    bounds = [len(runs) * number // count for number in range(count + 1)]
    rest: list[RunConfig] = []
    for start, stop in itertools.pairwise(bounds):
        left = [config for config in runs[start:stop] if config in missing]
        if len(left) == stop - start:
            yield left
        else:
            rest += left
    most = -(-len(runs) // count)
    yield from (rest[start : start + most] for start in range(0, len(rest), most))


def _in_turn(
    units: Iterator[list[RunConfig]], folder: Path, devices: Sequence[str], jobs: int, keep: bool, report_to: str
) -> Iterator[int]:
    for configs in units:
        yield attempt(configs, folder, devices[0], keep, report_to)


def _side_by_side(
    units: Iterator[list[RunConfig]], folder: Path, devices: Sequence[str], jobs: int, keep: bool, report_to: str
) -> Iterator[int]:
    perform = partial(attempt, folder=folder, keep=keep, report_to=report_to)
    yield from side_by_side(perform, units, devices, jobs)
