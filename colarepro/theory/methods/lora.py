"""LoRA: one adapter from start to end."""

from dataclasses import dataclass
from typing import ClassVar

from colarepro.theory.methods.adapter import AdapterMethod


@dataclass(frozen=True, kw_only=True)
class Lora(AdapterMethod):
    """Plain LoRA through PEFT, with no chain round it: an update of rank ``rank`` at most."""

    name: ClassVar[str] = "lora"
