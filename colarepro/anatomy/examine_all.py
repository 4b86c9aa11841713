"""Many watched runs, side by side."""

import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from transformers.utils import logging

from colarepro.anatomy.examine import Question, examine_stored
from colarepro.errors import ColaError
from colarepro.results import Record, Store


def examine_all(questions: Sequence[Question], store: Store, devices: Sequence[str], jobs: int) -> list[Record]:
    """Examine what ``store`` lacks, ``jobs`` processes of one thread at once, dealt over ``devices``; returns the
    records there are, in the order of the questions. Raises `ColaError` if a worker is killed."""
    # A forked process would inherit torch's thread pools in an unknown state.
    context = multiprocessing.get_context("spawn")
    found: dict[int, Record | None] = {}
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with (
        Progress(*columns) as bars,
        ProcessPoolExecutor(min(jobs, len(questions)), mp_context=context, initializer=_prepare_worker) as pool,
    ):
        bar = bars.add_task("anatomy", total=len(questions))
        places = {
            pool.submit(examine_stored, question, store, devices[place % len(devices)]): place
            for place, question in enumerate(questions)
        }
        try:
            for future in as_completed(places):
                found[places[future]] = future.result()
                bars.advance(bar)
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
    return [record for place in sorted(found) if (record := found[place]) is not None]


def _prepare_worker() -> None:
    torch.set_num_threads(1)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
