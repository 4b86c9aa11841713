"""Which kind of links an adapter makes."""

from typing import Any

from peft.tuners.lora.layer import LoraLayer, MultiheadAttention, ParamWrapper
from torch import nn

from colarepro.chain.factored import FactoredLinks
from colarepro.chain.links import Links
from colarepro.chain.rebuilt import RebuiltLinks
from colarepro.chain.schedule import Schedule
from colarepro.errors import ColaError


def links_of(model: Any, adapter: str, schedule: Schedule) -> Links:
    """Plain LoRA's links are folded in place; those of every other method are merged and built anew by PEFT.

    Raises `ColaError` if the model has no such adapter, or if the schedule stacks links that are no products.
    """
    if adapter not in getattr(model, "peft_config", {}):
        raise ColaError(f"The adapter '{adapter}' matches no layer; expected a PEFT model that has it.")
    if _is_factored(model, adapter):
        return FactoredLinks(model, adapter, schedule)
    if schedule.fold == "stack":
        raise ColaError(
            f"fold='stack' keeps past links as two factors, but those of the adapter '{adapter}' are none; expected "
            "LoRA on linear layers, without a variant such as DoRA and with init_lora_weights True or 'gaussian'."
        )
    return RebuiltLinks(model, adapter, schedule)


def _is_factored(model: Any, adapter: str) -> bool:
    """Whether each link adds ``scaling * B @ A`` to a linear layer's weight and starts from zero."""
    lora = [module for module in model.modules() if isinstance(module, LoraLayer)]
    adapting = [layer for layer in lora if adapter in layer.lora_A or adapter in layer.lora_embedding_A]
    return (
        bool(adapting)
        and model.peft_config[adapter].init_lora_weights in (True, "gaussian")
        and all(
            adapter not in layer.lora_variant
            and adapter in layer.lora_A
            and isinstance(layer.lora_A[adapter], nn.Linear)
            and not isinstance(layer, (MultiheadAttention, ParamWrapper))  # they adapt parameters, not a layer's weight
            for layer in adapting
        )
    )
