"""The experiments that any machine can run while one waits: the tiny model on the miniature tasks."""

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import torch
from rich.progress import track
from transformers.utils import logging

from colarepro.errors import ColaError
from colarepro.results import Record, Store
from colarepro.runs.config import RunConfig
from colarepro.runs.finetune import finetune
from colarepro.tasks import known_tasks

LEARNING_RATES = {"full": 1e-3, "lora": 5e-3, "cola": 5e-3}


def tiny_tier(data_dir: Path, seeds: int = 2) -> list[RunConfig]:
    """Every method on every miniature task, ``seeds`` times, at one learning rate a method."""
    return [
        RunConfig(
            task=task, method=method, model="tiny", data_dir=data_dir, learning_rate=rate, seed=seed, max_length=256
        )
        for task in known_tasks()
        for method, rate in LEARNING_RATES.items()
        for seed in range(seeds)
    ]


def run_missing(configs: list[RunConfig], store: Store, description: str) -> list[Record]:
    """All records in the order of ``configs``; those that ``store`` lacks are run, one process a core."""
    missing = [config for config in configs if store.get("llm", config.question()) is None]
    if missing:
        # A forked process would inherit torch's thread pools in an unknown state.
        context = multiprocessing.get_context("spawn")
        workers = min(os.cpu_count() or 1, len(missing))
        with ProcessPoolExecutor(workers, mp_context=context, initializer=_prepare_worker) as pool:
            futures = [pool.submit(finetune, config, "cpu", False) for config in missing]
            try:
                for future in track(as_completed(futures), description=description, total=len(futures)):
                    store.put(future.result())
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
    records = [store.get("llm", config.question()) for config in configs]
    if not all(records):
        raise ColaError(f"Some records vanished from {store.folder} while they were being written.")
    return [record for record in records if record is not None]


def _prepare_worker() -> None:
    torch.set_num_threads(1)  # the model is so small that threads only wait for each other
    logging.set_verbosity_error()
    logging.disable_progress_bar()
