"""The adapter that the methods share."""

import warnings
from dataclasses import dataclass
from typing import Any, Literal

from peft import LoraConfig, get_peft_model
from peft.utils.error import NoMatchingPeftModuleError

from colarepro.errors import ColaError
from colarepro.methods.variant import configuration, defaults


@dataclass(frozen=True)
class Adapter:
    """A LoRA module, or another of PEFT's; the defaults are the paper's (arXiv 2401.04151, section 5)."""

    rank: int = 8
    """Rank of the first link (PEFT's ``r``); a chain's schedule may give later links others."""
    alpha: float = 16
    """Numerator of the scaling alpha/rank."""
    targets: tuple[str, ...] = ("q_proj", "v_proj")
    """Names of the linear layers that are adapted."""
    dropout: float = 0.0
    """Dropout on the adapter's input."""
    variant: str = "lora"
    """lora, or the name of another PEFT method: dora, rslora, pissa, olora, loha, lokr, oft, ..., as ``use_<name>`` and
    ``init_lora_weights`` of PEFT's LoraConfig or its registry have it. What an adapter does not hold stays at PEFT's
    default."""
    initialization: Literal["kaiming", "gaussian"] = "kaiming"
    """How A is drawn. The paper says Gaussian without a deviation; the code it grew from (MeZO's) draws as PEFT does
    by default, uniformly by Kaiming's rule, with which the learning-rate grid makes sense."""

    def attach(self, model: Any, rank: int | None = None) -> Any:
        """``model`` as a PEFT model with this adapter in float32.

        Raises `ColaError` if no layer fits, if PEFT has no such variant, or if the variant has no field for a setting
        that was changed.
        """
        rank = self.rank if rank is None else rank
        if rank < 1:
            raise ColaError(f"The adapter's rank is {rank}; expected 1 or more.")
        kind, settings = self._configuration(rank)
        try:
            with warnings.catch_warnings():
                # PEFT 0.21 asks transformers 5.23 for an attribute by its old name.
                warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated")
                # That GPT-2's Conv1D keeps its weight the other way round PEFT sees, and minds, by itself.
                warnings.filterwarnings("ignore", "fan_in_fan_out is set to False")
                return get_peft_model(model, kind(**settings))
        except NoMatchingPeftModuleError as error:
            raise ColaError(f"No layer of {type(model).__name__} is named {' or '.join(self.targets)}.") from error
        except Exception as error:
            reason = str(error).split(". ")[0].rstrip(".") or type(error).__name__
            raise ColaError(f"Variant '{self.variant}' does not fit {type(model).__name__}: {reason}.") from error

    def _configuration(self, rank: int) -> tuple[type, dict[str, Any]]:
        """PEFT's class, and ours of its settings. What PEFT leaves off by default (OFT's ``r``) is none of ours."""
        kind, settings = configuration(self.variant)
        theirs = defaults(kind)
        settings["target_modules"] = list(self.targets)
        for name, value, candidates in (
            ("rank", rank, ["r"]),
            ("alpha", self.alpha, ["lora_alpha", "alpha", f"{self.variant}_alpha"]),
            ("dropout", self.dropout, ["lora_dropout", f"{self.variant}_dropout"]),
        ):
            on = [field for field in candidates if field in theirs and (theirs[field] or name == "dropout")]
            if on:
                settings[on[0]] = value
            elif value != defaults(Adapter)[name]:
                raise ColaError(f"Variant '{self.variant}' has no {name}, so expected the default, not {value}.")
        if self.initialization == "gaussian":
            if kind is not LoraConfig or "init_lora_weights" in settings:
                raise ColaError(f"Variant '{self.variant}' starts in its own way, not with initialization='gaussian'.")
            settings["init_lora_weights"] = "gaussian"
        return kind, settings
