"""Asymmetric LoRA (Zhu et al., arXiv 2402.16842): A stays as it was drawn, only B is trained."""

from typing import Any

from colarepro.chain import Schedule
from colarepro.errors import ColaError
from colarepro.methods.adapter import Adapter
from colarepro.methods.prepared import Prepared


def asymmetric_lora(model: Any, adapter: Adapter, schedule: Schedule, seed: int) -> Prepared:
    """The model with one adapter whose A is frozen; the schedule does not apply."""
    return Prepared(freeze_A(adapter.attach(model)))


def freeze_A(model: Any) -> Any:
    """A PEFT model whose LoRA layers train B alone; raises `ColaError` if its adapter has no A."""
    frozen = [parameter for name, parameter in model.named_parameters() if ".lora_A." in name]
    if not frozen:
        raise ColaError("This variant of the adapter has no factor A to freeze; expected one of LoRA's kind.")
    for parameter in frozen:
        parameter.requires_grad_(False)
    return model
