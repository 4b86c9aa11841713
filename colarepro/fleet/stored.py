"""A fleet and its place in a folder of records."""

import hashlib
import shutil
import sys
from collections.abc import Sequence
from contextlib import ExitStack

import torch

from colarepro.errors import ColaError
from colarepro.fleet.fleet import Fleet
from colarepro.results import Store
from colarepro.runs.config import RunConfig
from colarepro.runs.stored import BusyError, claim


def sail_stored(configs: Sequence[RunConfig], store: Store, device: str) -> list[RunConfig]:
    """Records of all runs that no other process is on, and the configurations that must sail alone after all.

    A fleet that was killed goes on from its last epoch if it is made of the same runs again. One that memory does
    not hold sails in two halves.
    """
    with ExitStack() as stack:
        mine: list[RunConfig] = []
        identities: list[str] = []
        for config in configs:
            identity = store.path("llm", config.question()).stem
            try:
                stack.enter_context(claim(store, identity))
            except BusyError:
                continue
            record = store.get("llm", config.question())
            if record is None or record.status == "failed":
                mine.append(config)
                identities.append(identity)
        if not mine:
            return []
        folder = store.unfinished("fleet-" + hashlib.sha256("".join(identities).encode()).hexdigest()[:16])
        # An interruption, or a record that cannot be written, leaves the fleet's state.
        try:
            records = Fleet(mine, device).sail(folder)
        except ColaError as error:
            shutil.rmtree(folder, ignore_errors=True)
            print(f"a fleet of {len(mine)} runs goes on singly: {error}", file=sys.stderr)
            return mine
        except torch.cuda.OutOfMemoryError:
            shutil.rmtree(folder, ignore_errors=True)
            if len(mine) == 1:
                raise
        else:
            for record in records:
                store.put(record)
            shutil.rmtree(folder, ignore_errors=True)
            return []
    half = len(mine) // 2
    return sail_stored(mine[:half], store, device) + sail_stored(mine[half:], store, device)
