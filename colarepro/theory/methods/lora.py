"""LoRA: one adapter from start to end."""

from dataclasses import dataclass
from typing import ClassVar

from colarepro.theory.methods.adapter import AdapterMethod


@dataclass(frozen=True, kw_only=True)
class Lora(AdapterMethod):
    """Plain LoRA: an update of rank ``rank`` at most. With the rank of a whole chain it is the summed-rank control."""

    name: ClassVar[str] = "lora"
