"""The LoRA module that the adapter methods share."""

import warnings
from dataclasses import dataclass
from typing import Any, Literal

from peft import LoraConfig, get_peft_model

from colarepro.errors import ColaError


@dataclass(frozen=True)
class Adapter:
    """A LoRA module; the defaults are the paper's (arXiv 2401.04151, section 5)."""

    rank: int = 8
    """Rank of the first link; a chain's schedule may give later links others."""
    alpha: float = 16
    """Numerator of the scaling alpha/rank."""
    targets: tuple[str, ...] = ("q_proj", "v_proj")
    """Names of the linear layers that are adapted."""
    dropout: float = 0.0
    """Dropout on the adapter's input."""
    initialization: Literal["kaiming", "gaussian"] = "kaiming"
    """How A is drawn. The paper says Gaussian without a deviation; the code it grew from (MeZO's) draws as PEFT does
    by default, uniformly by Kaiming's rule, with which the learning-rate grid makes sense."""

    def attach(self, model: Any, rank: int | None = None) -> Any:
        """``model`` as a PEFT model with this adapter in float32; raises `ColaError` if no layer fits."""
        rank = self.rank if rank is None else rank
        if rank < 1:
            raise ColaError(f"The adapter's rank is {rank}; expected 1 or more.")
        config = LoraConfig(
            r=rank,
            lora_alpha=self.alpha,
            target_modules=list(self.targets),
            lora_dropout=self.dropout,
            init_lora_weights="gaussian" if self.initialization == "gaussian" else True,
        )
        try:
            with warnings.catch_warnings():
                # PEFT 0.21 asks transformers 5.23 for an attribute by its old name.
                warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated")
                return get_peft_model(model, config)
        except ValueError as error:
            raise ColaError(f"No layer of {type(model).__name__} is named {' or '.join(self.targets)}.") from error
