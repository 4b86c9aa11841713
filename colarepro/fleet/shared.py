"""A model that many runs share."""

from collections.abc import Sequence
from typing import Any

import torch
from torch._dynamo import config

from colarepro.fleet.adapters import Adapters
from colarepro.fleet.arm import Arm
from colarepro.fleet.attention import NAME
from colarepro.fleet.norms import fuse_norms
from colarepro.fleet.stack import Stack
from colarepro.fleet.weights import Weights
from colarepro.models.candidates import show_label_rows


def share(model: Any, arms: Sequence[Arm], verbalizers: Sequence[int], device: str, dtype: torch.dtype) -> Stack:
    """Let ``model`` compute packed batches of these runs, and the verbalizers' logits alone, in place; returns what
    the runs train. Raises `UnfitError` if it cannot.
    """
    model.requires_grad_(False)
    model.set_attn_implementation(NAME)
    fuse_norms(model)
    stack: Stack
    if arms[0].targets:
        stack = Adapters(arms, model, device, dtype)
        show_label_rows(model, verbalizers)
    else:
        stack = Weights(arms, model, verbalizers, device, dtype)
    return stack


def compile_layers(model: Any) -> None:
    """Compile every decoder layer, as one function of its own weights and of the batch's sizes."""
    # One function serves all layers, compiled anew for the lowest, without gradients, for one run, for full weights.
    config.recompile_limit = max(config.recompile_limit, 64)
    kinds = set(model._no_split_modules or ())
    for module in model.modules():
        if type(module).__name__ in kinds:
            module.compile(dynamic=True)
