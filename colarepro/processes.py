"""Processes that work for a command."""

import multiprocessing
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.context import SpawnContext
from typing import Any, ParamSpec, TypeVar

from colarepro.errors import ColaError

T = TypeVar("T")
P = ParamSpec("P")

SPAWN: SpawnContext = multiprocessing.get_context("spawn")
"""A forked process would inherit torch's thread pools in an unknown state."""


class Workers(ProcessPoolExecutor):
    """So many processes, that do not hear the terminal's Ctrl-C, also not while they start: the parent decides."""

    def submit(self, work: Callable[P, T], /, *arguments: P.args, **options: P.kwargs) -> Future[T]:
        """Have one of them work, which is started if none is idle, and inherits what is blocked here."""
        if not hasattr(signal, "pthread_sigmask"):  # Windows
            return super().submit(work, *arguments, **options)
        before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        try:
            return super().submit(work, *arguments, **options)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def workers(count: int, initializer: Callable[..., Any] | None = None, *arguments: Any) -> Iterator[Workers]:
    """``count`` processes, each prepared by ``initializer(*arguments)``; what ends the block early ends them at once.

    Raises `ColaError` if one of them is killed.
    """
    with Workers(count, mp_context=SPAWN, initializer=initializer, initargs=arguments) as pool:
        try:
            yield pool
        except BrokenProcessPool:
            raise ColaError(
                "A worker process was killed, maybe for want of memory; what was finished stays, and the same command "
                "with fewer processes goes on."
            ) from None
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for child in multiprocessing.active_children():
                child.terminate()
            raise
