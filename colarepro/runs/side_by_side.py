"""Work in several processes, each with a device of its own."""

import multiprocessing
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from colarepro.errors import ColaError
from colarepro.runs.attempt import quiet_worker
from colarepro.runs.devices import confine

T = TypeVar("T")


def side_by_side(work: Callable[..., T], items: Iterable[Any], devices: Sequence[str], jobs: int) -> Iterator[T]:
    """``work(item, device=...)`` of every item as it ends, by ``jobs`` processes that are dealt over ``devices``.

    Raises `ColaError` if one of them is killed.
    """
    # A forked process would inherit torch's thread pools in an unknown state.
    context = multiprocessing.get_context("spawn")
    places = context.SimpleQueue()
    for number in range(jobs):
        places.put(devices[number % len(devices)])
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=_prepare, initargs=(places,)) as pool:
        try:
            futures = [pool.submit(_here, work, item) for item in items]
            for future in as_completed(futures):
                yield future.result()
        except BrokenProcessPool:
            raise ColaError(
                "A worker process was killed, maybe for want of memory; what was finished stays, and the same command "
                "with fewer --jobs goes on."
            ) from None
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for child in multiprocessing.active_children():
                child.terminate()  # its run goes on from the last checkpoint another time
            raise


_device = "cpu"


def _prepare(places: "multiprocessing.SimpleQueue[str]") -> None:
    global _device
    _device = confine(places.get())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal interrupts all; the parent decides
    quiet_worker()


def _here(work: Callable[..., T], item: Any) -> T:
    return work(item, device=_device)
