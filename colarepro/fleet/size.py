"""How many runs sail at once."""

import functools
import statistics
from collections.abc import Sequence

import torch

from colarepro.fleet.adapters import rows_of
from colarepro.fleet.arm import arm_of
from colarepro.models.load import load_tokenizer
from colarepro.runs.config import RunConfig
from colarepro.runs.material import splits_of
from colarepro.tasks import encode, load_task

TOKENS = 2**16
"""Of one step, from which on a GPU computes more than it waits."""
SHARE = 0.6
"""Of the free memory that the runs' own numbers and activations may take."""
FLOATS = 4
"""Of a number that trains, in float32: itself, its gradient, two moments."""
COPIES = 3
"""In the layers' dtype: one to compute with, that one's gradient, and the best epoch's, which no past link has."""
MOST = 256
"""Runs."""


def fleet_size(configs: Sequence[RunConfig], device: str, processes: int = 1) -> int:
    """How many of these runs fill the device, 1 to `MOST`: as many as make `TOKENS` a step, if memory holds them beside
    the fleets of so many ``processes`` that share the device."""
    config = configs[0]
    task = load_task(config.task)
    splits = splits_of(config)
    encoded = encode(task, splits.train, load_tokenizer(config.model), config.max_length)
    tokens = config.batch_size * statistics.fmean(map(len, encoded.prompts))
    size = TOKENS / tokens
    if device.startswith("cuda"):
        arms = [arm_of(each, len(splits.train)) for each in configs]
        every = trained = arms[0].parameters_first
        if arms[0].ranks:
            every, trained = (rows * arms[0].row_of_numbers for rows in rows_of(arms))
        narrow = getattr(torch, config.dtype).itemsize
        bytes_each = trained * (FLOATS * 4 + COPIES * narrow) + (every - trained) * (COPIES - 1) * narrow
        bytes_each += arms[0].counted.activations_of(1, round(tokens))
        size = min(size, SHARE / processes * free_bytes(device) / bytes_each)
    return max(1, min(MOST, int(size)))


@functools.cache
def free_bytes(device: str) -> int:
    """Of a GPU, when it is first asked: later its own fleets lie there."""
    return int(torch.cuda.mem_get_info(device)[0])
