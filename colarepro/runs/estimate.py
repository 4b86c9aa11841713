"""What a run will take, before it starts: from its model's shape and its prompts' lengths, without the weights."""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from colarepro.methods import method
from colarepro.models.load import load_shape, load_tokenizer
from colarepro.runs.config import RunConfig
from colarepro.runs.costs import (
    Fed,
    count_once,
    flops_by_formula,
    forward_flops_by_formula,
    product_weights,
    trained_in_products,
)
from colarepro.runs.material import splits_of
from colarepro.runs.order import order
from colarepro.tasks import encode, load_task

SECONDS_PER_LAYER = 3.3e-3
"""Of a training step that leaves a GPU waiting for the next kernel, per layer: batch 8 on one H200."""
FLOPS_PER_SECOND = 4e14
"""Of a step that fills it: bfloat16 on one H200, 200 x 128 tokens."""
MOST_EPOCHS = 100
"""Whose batches are counted; those of a longer run are alike."""
ADAM = 12
"""Bytes a trained parameter: gradient and two moments in float32."""


@dataclass(frozen=True)
class Estimate:
    """Of one run: FLOPs with evaluation, seconds on one H200 in bfloat16, bytes of weights, optimizer and activations
    at the longest batch."""

    flops: float
    seconds: float
    bytes: float


def estimate(config: RunConfig) -> Estimate:
    """Reads the task's data, the tokenizer and the model's configuration; raises `ColaError` where the run would."""
    drawn = ("task", "model", "data_dir", "data_seed", "protocol", "max_length")
    counts = ("train_examples", "dev_examples", "test_examples")
    rows, train, dev, test = _lengths(RunConfig(**{name: getattr(config, name) for name in (*drawn, *counts)}))
    if config.method == "in-context":
        shown = config.demonstrations * sum(train) // len(train)
        dev, test = ([min(length + shown, config.max_length) for length in part] for part in (dev, test))

    model, prepare = on_meta(config), method(config.method).prepare
    trains = prepare is not None
    if prepare is not None:
        model = prepare(model, config.adapter, config.chain, config.seed).model
    trained = trained_in_products(product_weights(model))
    steps_per_epoch = math.ceil(len(train) / config.batch_size)
    steps = (config.max_steps or steps_per_epoch * config.epochs) if trains else 0
    epochs = math.ceil(steps / steps_per_epoch)
    training, choosing, judging = Fed(), Fed(), Fed()
    counted = min(epochs, MOST_EPOCHS)
    for epoch in range(counted):
        in_turn = [train[place] for place in order(config.seed, epoch, len(train))]
        _feed(training, in_turn, config.batch_size, rows, trained)
    last = [train, test] if trains else [train] if config.method == "linear-probe" else []
    _feed(choosing, dev, 4 * config.batch_size, rows)
    for part in (*last, test):
        _feed(judging, part, 4 * config.batch_size, rows)
    flops = flops_by_formula(model, training) * (steps / max(1, steps_per_epoch * counted))
    flops += forward_flops_by_formula(model, choosing) * max(1, epochs) + forward_flops_by_formula(model, judging)
    layers = model.config.get_text_config().num_hidden_layers
    waiting = steps * layers * SECONDS_PER_LAYER

    size = sum(tensor.numel() * tensor.element_size() for tensor in model.parameters())
    if trains:
        size += ADAM * sum(p.numel() for p in model.parameters() if p.requires_grad)
        size += count_once(config.model, model).activations_of(
            rows * config.batch_size // config.accumulation, max(train)
        )
    return Estimate(flops, max(waiting, flops / FLOPS_PER_SECOND), size)


@functools.lru_cache(maxsize=16)
def _lengths(config: RunConfig) -> tuple[int, list[int], list[int], list[int]]:
    """Rows that a prompt is fed as, and the prompts' tokens in train, dev and test; the same for every arm."""
    task, splits = load_task(config.task), splits_of(config)
    tokenizer = load_tokenizer(config.model)
    encoded = [encode(task, part, tokenizer, config.max_length) for part in (splits.train, splits.dev, splits.test)]
    # Verbalizers of several tokens are fed with the prompt, a row each.
    rows = 1 if encoded[0].single_token else len(encoded[0].candidates)
    longest = 0 if rows == 1 else max(map(len, encoded[0].candidates))
    train, dev, test = ([len(prompt) + longest for prompt in part.prompts] for part in encoded)
    return rows, train, dev, test


def on_meta(config: RunConfig) -> Any:
    """The run's model without weights, before its method prepares it."""
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(load_shape(config.model), dtype=getattr(torch, config.dtype))


def _feed(fed: Fed, lengths: Sequence[int], batch_size: int, rows: int, trained: int = 0) -> None:
    for start in range(0, len(lengths), batch_size):
        batch = lengths[start : start + batch_size]
        fed.add(rows * len(batch), max(batch), rows * sum(batch), trained)
