"""Runs that belong together, performed where this process is: a failure is a record."""

import sys
from pathlib import Path

import torch
from threadpoolctl import threadpool_limits
from transformers.utils import logging

from colarepro.errors import UnwrittenError
from colarepro.fleet.stored import sail_stored
from colarepro.results import Store
from colarepro.runs.config import RunConfig
from colarepro.runs.devices import tidy
from colarepro.runs.stored import BusyError, failed, is_missing, run_stored


def quiet_worker() -> None:
    """Prepare a process that does nothing but runs: one thread, no bars."""
    torch.set_num_threads(1)
    threadpool_limits(1)  # also numpy's and scipy's, which would have as many threads as cores in every process
    logging.set_verbosity_error()
    logging.disable_progress_bar()


def attempt(configs: list[RunConfig], folder: Path, device: str, keep: bool, report_to: str) -> int:
    """Perform runs, together if they are several; returns how many there were."""
    store = Store(folder)
    left = configs
    if len(configs) > 1:
        try:
            left = sail_stored(configs, store, device)
        except UnwrittenError:  # alone, each would be trained for nothing, too
            raise
        except Exception as error:  # whatever keeps them from sailing together, alone each says for itself
            print(f"a fleet of {len(configs)} runs goes on singly: {type(error).__name__}: {error}", file=sys.stderr)
    for config in left:
        try:
            run_stored(config, store, device, keep=keep, retry_failed=True, report_to=report_to)
        except BusyError:
            continue
        except Exception as error:  # it is this run's and must not stop the others
            record = failed(config, error, device)
            if is_missing(store.get("llm", record.config), store, keep=False, retry_failed=True):
                store.put(record)
            else:  # it was performed again for its model alone
                print(f"the model of run {record.identity} was not kept: {record.reason}", file=sys.stderr)
    tidy(device)
    return len(configs)
