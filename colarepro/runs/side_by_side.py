"""Work in several processes, each with a device of its own."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import as_completed
from typing import TYPE_CHECKING, Any, TypeVar

from colarepro.processes import SPAWN, workers
from colarepro.runs.attempt import quiet_worker
from colarepro.runs.devices import confine

if TYPE_CHECKING:
    from multiprocessing import SimpleQueue

T = TypeVar("T")


def side_by_side(work: Callable[..., T], items: Iterable[Any], devices: Sequence[str], jobs: int) -> Iterator[T]:
    """``work(item, device=...)`` of every item as it ends, by ``jobs`` processes that are dealt over ``devices``.

    A run that ends early goes on from its last checkpoint another time. Raises `ColaError` if a process is killed.
    """
    places = SPAWN.SimpleQueue()
    for number in range(jobs):
        places.put(devices[number % len(devices)])
    with workers(jobs, _prepare, places) as pool:
        futures = [pool.submit(_here, work, item) for item in items]
        for future in as_completed(futures):
            yield future.result()


_device = "cpu"


def _prepare(places: "SimpleQueue[str]") -> None:
    global _device
    _device = confine(places.get())
    quiet_worker()


def _here(work: Callable[..., T], item: Any) -> T:
    return work(item, device=_device)
