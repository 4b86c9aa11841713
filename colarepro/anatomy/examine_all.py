"""Many watched runs, side by side."""

import multiprocessing
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from transformers.utils import logging

from colarepro.anatomy.examine import KIND, Question, examine_stored, is_missing
from colarepro.errors import ColaError
from colarepro.results import Record, Store


def examine_all(questions: Sequence[Question], store: Store, devices: Sequence[str], jobs: int) -> list[Record]:
    """Examine what ``store`` lacks, or could not be done, and return the records there are, in the questions' order.

    ``jobs`` processes of one thread work at once, dealt over ``devices``. Raises `ColaError` if one is killed.
    """
    missing = [question for question in questions if is_missing(question, store)]
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns) as bars:
        bar = bars.add_task(KIND, total=len(questions), completed=len(questions) - len(missing))
        for _ in _side_by_side(missing, store, devices, jobs):
            bars.advance(bar)
    found = (store.get(KIND, question.config()) for question in questions)
    return [record for record in found if record is not None]


def _side_by_side(questions: Sequence[Question], store: Store, devices: Sequence[str], jobs: int) -> Iterator[None]:
    if not questions:
        return
    # A forked process would inherit torch's thread pools in an unknown state.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(jobs, len(questions)), mp_context=context, initializer=_prepare_worker) as pool:
        futures = [
            pool.submit(examine_stored, question, store, devices[place % len(devices)])
            for place, question in enumerate(questions)
        ]
        try:
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
                child.terminate()
            raise


def _prepare_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal interrupts all; the parent decides
    torch.set_num_threads(1)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
