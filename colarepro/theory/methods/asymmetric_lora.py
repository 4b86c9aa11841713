"""Asymmetric LoRA: A stays as it was drawn, only B is trained."""

from dataclasses import dataclass
from typing import ClassVar

from colarepro.theory.methods.adapter import AdapterMethod


@dataclass(frozen=True, kw_only=True)
class AsymmetricLora(AdapterMethod):
    """LoRA with a frozen A (Zhu et al. 2024): gradient descent on W restricted to updates with A's row space."""

    name: ClassVar[str] = "asymmetric-lora"
    trains_A: ClassVar[bool] = False
