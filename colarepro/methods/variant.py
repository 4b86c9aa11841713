"""PEFT's methods by name, without a line for any of them."""

import dataclasses
import re
from typing import Any, get_args, get_type_hints

from peft import LoraConfig
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING, PEFT_TYPE_TO_TUNER_MAPPING
from peft.tuners.tuners_utils import BaseTuner

from colarepro.errors import ColaError

HINTS = get_type_hints(LoraConfig)


def switches() -> list[str]:
    """Variants of LoRA that a field ``use_<name>`` of PEFT's LoraConfig turns on."""
    named = [name.removeprefix("use_") for name, hint in HINTS.items() if name.startswith("use_") and hint is bool]
    return [name for name in named if not _demand(name)]


def initializations() -> list[str]:
    """Variants of LoRA that are values of ``init_lora_weights``."""
    named = [value for hint in get_args(HINTS["init_lora_weights"]) for value in get_args(hint)]
    return [name for name in named if name != "gaussian" and not _demand(name)]


def tuners() -> dict[str, type]:
    """Configurations of the methods that adapt chosen layers, by their name in PEFT's registry."""
    return {
        kind.value.lower(): PEFT_TYPE_TO_CONFIG_MAPPING[kind]
        for kind, tuner in PEFT_TYPE_TO_TUNER_MAPPING.items()
        if issubclass(tuner, BaseTuner) and "target_modules" in defaults(PEFT_TYPE_TO_CONFIG_MAPPING[kind])
    }


def configuration(variant: str) -> tuple[type, dict[str, Any]]:
    """The class of PEFT's configuration for a variant, and the settings that make it that variant.

    Raises `ColaError` if PEFT has no such variant, or one that a name alone does not start.
    """
    if variant in switches():
        return LoraConfig, {f"use_{variant}": True}
    if any(re.fullmatch(re.sub(r"\[.*]", r"\\d+", value), variant) for value in initializations()):
        return LoraConfig, {"init_lora_weights": variant}
    if demand := _demand(variant):
        raise ColaError(f"Variant '{variant}' needs data or a quantised base (PEFT's {demand}), not a name alone.")
    if variant not in tuners():
        known = ", ".join(dict.fromkeys(["lora", *switches(), *initializations(), *sorted(tuners())]))
        raise ColaError(f"Unknown variant '{variant}'; expected one of {known}.")
    kind = tuners()[variant]
    # Where PEFT's own default starts away from the pretrained weights, True does not.
    starts_away = defaults(kind).get("init_weights", True) is not True and bool in _types(kind, "init_weights")
    return kind, {"init_weights": True} if starts_away else {}


def defaults(kind: type) -> dict[str, Any]:
    """The fields of a configuration's class with their defaults."""
    return {field.name: field.default for field in dataclasses.fields(kind)}


def _demand(variant: str) -> str | None:
    """The field without which PEFT ignores a variant of LoRA, or refuses it later."""
    return next((name for name in (f"{variant}_config", f"{variant}_group_size") if name in HINTS), None)


def _types(kind: type, name: str) -> tuple[Any, ...]:
    hint = get_type_hints(kind)[name]
    return get_args(hint) or (hint,)
