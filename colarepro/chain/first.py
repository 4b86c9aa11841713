"""How a link is drawn."""

from typing import Any

import torch
from peft import LoraConfig
from peft.tuners.lora.layer import LoraLayer
from torch import nn

from colarepro.chain.links import seeded


def draw_first_link(model: nn.Module, seed: int, adapter: str = "default") -> None:
    """Draw A of a LoRA adapter by PEFT's own rule, as every later link's: by ``seed`` and the link's index, 0, alone.

    PEFT has drawn it already, from random numbers that depend on what came before. A start that decomposes the base
    (PiSSA and the like) draws nothing and is left as it is, and so is a model without a LoRA adapter.
    """
    configs: dict[str, Any] = getattr(model, "peft_config", {})
    config = configs.get(adapter)
    if not isinstance(config, LoraConfig) or config.init_lora_weights not in (True, "gaussian"):
        return
    with seeded(seed, 0):
        for module in model.modules():
            if isinstance(module, LoraLayer) and adapter in module.lora_A:
                draw_link(module, adapter, config.init_lora_weights)


@torch.no_grad()
def draw_link(layer: LoraLayer, adapter: str, rule: Any) -> None:
    """Initialize a link in place as PEFT does, by its ``init_lora_weights``, with numbers drawn on the host: a GPU's
    generator gives others for the same seed."""
    weights = [layer.lora_A[adapter].weight, layer.lora_B[adapter].weight]
    places = [weight.data for weight in weights]
    for weight in weights:
        weight.data = weight.data.cpu()
    layer.reset_lora_parameters(adapter, rule)
    for weight, place in zip(weights, places, strict=True):
        weight.data = place.copy_(weight.data)
