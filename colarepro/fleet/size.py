"""How many runs sail at once."""

import statistics

import torch

from colarepro.fleet.arm import arm_of
from colarepro.models.load import load_tokenizer
from colarepro.runs.config import RunConfig
from colarepro.runs.material import splits_of
from colarepro.tasks import encode, load_task

TOKENS = 2**15
"""Of one step, from which on a GPU computes more than it waits."""
SHARE = 0.6
"""Of the free memory that the runs' own numbers and activations may take."""
NUMBER = 24
"""Bytes of a trained number: itself, its copy in the layers' dtype, its gradient, two moments, and the best epoch's."""
MOST = 256
"""Runs."""


def fleet_size(config: RunConfig, device: str) -> int:
    """Runs like this one that fill the device, 1 to `MOST`: as many as make `TOKENS` a step, if memory holds them."""
    task = load_task(config.task)
    splits = splits_of(config)
    encoded = encode(task, splits.train, load_tokenizer(config.model), config.max_length)
    tokens = config.batch_size * statistics.fmean(map(len, encoded.prompts))
    size = TOKENS / tokens
    if device.startswith("cuda"):
        arm = arm_of(config, len(splits.train))
        links = max(1, len(arm.ranks))
        bytes_each = NUMBER * links * arm.parameters_trained + arm.counted.activations_of(1, round(tokens))
        size = min(size, SHARE * torch.cuda.mem_get_info(device)[0] / bytes_each)
    return max(1, min(MOST, int(size)))
