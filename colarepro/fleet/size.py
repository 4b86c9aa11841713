"""How many runs sail at once."""

import statistics

import torch

from colarepro.methods import method
from colarepro.models.load import load_tokenizer
from colarepro.runs.config import RunConfig
from colarepro.runs.costs import count
from colarepro.runs.estimate import on_meta
from colarepro.tasks import draw, encode, load_task

TOKENS = 2**14
"""Of one step, from which on a GPU computes more than it waits."""
SHARE = 0.6
"""Of the free memory that activations may take."""
MOST = 64
"""Runs; each adds columns to every adapter's products."""


def fleet_size(config: RunConfig, device: str) -> int:
    """Runs like this one that fill the device, 1 to `MOST`: as many as make `TOKENS` a step, if memory holds them."""
    task = load_task(config.task)
    splits = draw(task, config.data_dir, config.data_seed, config.protocol, config.train_examples)
    encoded = encode(task, splits.train, load_tokenizer(config.model), config.max_length)
    tokens = config.batch_size * statistics.fmean(map(len, encoded.prompts))
    size = TOKENS / tokens
    if device.startswith("cuda"):
        model, prepare = on_meta(config), method(config.method).prepare
        assert prepare is not None
        counted = count(prepare(model, config.adapter, config.chain, config.seed).model)
        free, _ = torch.cuda.mem_get_info(device)
        size = min(size, SHARE * free / counted.activations_of(1, round(tokens)))
    return max(1, min(MOST, int(size)))
