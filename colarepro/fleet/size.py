"""How many runs sail at once."""

import functools
import statistics
from collections.abc import Sequence

import torch

from colarepro.fleet.arm import arm_of
from colarepro.models.load import load_tokenizer
from colarepro.runs.config import RunConfig
from colarepro.runs.material import splits_of
from colarepro.tasks import encode, load_task

TOKENS = 2**16
"""Of one step, from which on a GPU computes more than it waits."""
SHARE = 0.6
"""Of the free memory that the runs' own numbers and activations may take."""
NUMBER = 26
"""Bytes of a trained number: itself, its gradient, two moments, the best epoch's; a copy in the layers' dtype, and that
one's gradient."""
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
        rows = max(arm.rows for arm in arms)  # every run's adapter has as many
        numbers = max(rows * arm.row_of_numbers if arm.ranks else arm.parameters_first for arm in arms)
        bytes_each = NUMBER * numbers + arms[0].counted.activations_of(1, round(tokens))
        size = min(size, SHARE / processes * free_bytes(device) / bytes_each)
    return max(1, min(MOST, int(size)))


@functools.cache
def free_bytes(device: str) -> int:
    """Of a GPU, when it is first asked: later its own fleets lie there."""
    return int(torch.cuda.mem_get_info(device)[0])
