"""Runs on the nodes of a Ray cluster, for a sweep that is too large for one machine."""

import dataclasses
import os
import tempfile
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from colarepro.errors import ColaError
from colarepro.files import written_aside
from colarepro.fleet.size import fleet_size
from colarepro.models import OFFLINE
from colarepro.results import Record, Store
from colarepro.runs.attempt import attempt, quiet_worker
from colarepro.runs.config import RunConfig

os.environ.setdefault("RAY_NUM_REDIS_GET_RETRIES", "1")  # by its own default Ray asks a dead cluster for ten minutes

try:
    import ray
    from ray.exceptions import RayError
except ImportError:
    raise ColaError("Ray is not installed, which --on ray needs; expected pip install 'colarepro[ray]'.") from None

RETRIES = 20
"""Of a unit whose worker or node dies. Not without end, lest a run that downs its worker each time hold the sweep."""
PATIENCE = 120
"""Seconds that a worker waits for a run that another process is on: Ray needs some until it ends the workers of a
driver or a node that is gone, and a network file system until it gives up their locks."""

Question = dict[str, Any]


@contextmanager
def connected(device: str) -> Iterator[str]:
    """Be on the cluster that ``RAY_ADDRESS`` names, or that runs here; yields the device of a worker.

    ``device`` is cpu, cuda (each unit has one GPU), or auto, a GPU if the cluster has any. Raises `ColaError` if there
    is no cluster, no GPU where cuda is asked for, or for another device.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise ColaError(f"The device is '{device}'; on a Ray cluster expected auto, cpu or cuda, since Ray deals GPUs.")
    try:
        ray.init("auto", log_to_driver=False, logging_level="error")
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ColaError(
            "No Ray cluster was reached; expected `ray start` to be run, and RAY_ADDRESS to say where."
        ) from error
    try:
        gpus = ray.cluster_resources().get("GPU", 0)
        if device == "cuda" and not gpus:
            raise ColaError("The device 'cuda' was asked for, but the Ray cluster has no GPU.")
        yield "cuda:0" if gpus and device != "cpu" else "cpu"
    finally:
        ray.shutdown()


def fleet_size_there(configs: Sequence[RunConfig], device: str) -> int:
    """`colarepro.fleet.size.fleet_size`, by the memory of one of the cluster's GPUs."""
    return int(_answer(_remote(fleet_size, device).remote([_absolute(config) for config in configs], device)))


def on_nodes(
    units: Iterable[list[RunConfig]], folder: Path, devices: Sequence[str], jobs: int, keep: bool, report_to: str
) -> Iterator[int]:
    """Perform units on the cluster, and yield how many runs each had as they end; their records are then in ``folder``.

    Where a node sees the folder too, a run goes on from its last checkpoint on whatever node is next; where it does
    not, its records come back through Ray, and a run whose worker dies starts over. Raises `ColaError` if a node cannot
    do what the driver asks.
    """
    units = list(units)  # to size a fleet is the cluster's work too, and would wait behind the fleets that sail
    store, mark = Store(folder.absolute()), _mark(folder)
    perform = _remote(_perform, devices[0])
    pending = {}
    for unit in units:
        asked = [(_absolute(config), config.question()) for config in unit]
        pending[perform.remote(asked, store.folder, mark, devices[0], keep, report_to)] = len(unit)
    while pending:
        (done, *_), _ = ray.wait(list(pending), num_returns=1)
        for record in _answer(done):
            if store.get(record.kind, record.config) != record:
                store.put(record)
        yield pending.pop(done)


def _perform(
    asked: list[tuple[RunConfig, Question]], folder: Path, mark: str, device: str, keep: bool, report_to: str
) -> list[Record]:
    """On a node: the records of runs, those excepted that another process is on for long."""
    quiet_worker()
    node = os.uname().nodename
    for config, question in asked:
        if config.question() != question:
            raise ColaError(
                f"The node {node} sees another model, task or data than the driver; expected the same paths."
            )
    shared = _read(folder) == mark
    if not shared and (keep or report_to != "none"):
        raise ColaError(f"The node {node} does not see {folder}, where models and what is tracked are to be kept.")
    with nullcontext(folder) if shared else tempfile.TemporaryDirectory(prefix="colarepro-") as place:
        left = asked
        for _ in range(PATIENCE):
            attempt([config for config, _ in left], Path(place), device, keep, report_to)
            store = Store(place)
            # A run that failed has a record, and is not performed again while another one is waited for.
            left = [(config, question) for config, question in left if store.get("llm", question) is None]
            if not left:
                break
            time.sleep(1)
        found = (store.get("llm", question) for _, question in asked)
        return [record for record in found if record is not None]


def _remote(function: Any, device: str) -> Any:
    return ray.remote(num_cpus=1, num_gpus=int(device != "cpu"), max_retries=RETRIES)(function)


def _answer(reference: Any) -> Any:
    try:
        return ray.get(reference)
    except RayError as error:
        cause = getattr(error, "cause", None)
        if isinstance(cause, ColaError):
            raise cause from None
        said = next(iter(str(error).strip().splitlines()), "")
        raise ColaError(
            f"Work on the Ray cluster failed ({type(error).__name__}: {said}); what was finished stays, and the same "
            "command goes on."
        ) from error


def _absolute(config: RunConfig) -> RunConfig:
    """The configuration with its paths as every process can read them; a name stays one beside a folder called so."""
    is_path = {
        "task": Path(config.task).suffix in (".yaml", ".yml"),
        "model": config.model not in OFFLINE and Path(config.model).is_dir(),
        "data_dir": config.data_dir is not None,
    }
    paths = {name: getattr(config, name) for name, yes in is_path.items() if yes}
    return dataclasses.replace(config, **{name: type(path)(Path(path).absolute()) for name, path in paths.items()})


def _mark(folder: Path) -> str:
    """What tells a folder from another of its name on another machine."""
    path = folder / "unfinished" / "place"
    if not path.exists():
        with written_aside(path) as aside:
            aside.write_text(uuid.uuid4().hex)
    return path.read_text()


def _read(folder: Path) -> str:
    try:
        return (folder / "unfinished" / "place").read_text()
    except OSError:
        return ""
