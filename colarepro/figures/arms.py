"""What the language-model figures share: a run's arm by name, their order, and their marks."""

import json
from collections.abc import Iterable
from typing import Any

import pandas as pd

from colarepro.figures.curves import PALETTE, SHAPES
from colarepro.results import Record


def arm(record: Record) -> str:
    """The method, with what sets a run apart from the method's defaults: ``cola, dora, ranks 8-2``."""
    adapter, chain = record.config.get("adapter", {}), record.config.get("chain", {})
    words = [record.config["method"]]
    if adapter.get("variant", "lora") != "lora":
        words.append(adapter["variant"])
    if chain.get("length"):
        words.append(f"length {chain['length']}")
    if chain.get("ranks"):
        words.append(f"ranks {'-'.join(map(str, chain['ranks']))}")
    if chain.get("initialization", "fresh") != "fresh":
        words.append(f"{chain['initialization']} A")
    return ", ".join(words)


def settings(record: Record) -> str:
    """Everything that was asked but the seeds, as text: runs of one text are repetitions."""
    asked = {name: value for name, value in record.config.items() if name not in ("seed", "data_seed")}
    return json.dumps(asked, sort_keys=True)


def in_order(arms: Iterable[str]) -> list[str]:
    """Distinct arms, by the methods' order: full, lora, cola, the controls, those without training."""
    from colarepro.methods import METHODS  # with PEFT, which takes seconds

    methods = list(METHODS)
    return sorted(set(arms), key=lambda name: (methods.index(name.split(", ")[0]), name))


def span(counts: pd.Series) -> str:
    """The least and the most of them in words."""
    least, most = counts.min(), counts.max()
    return str(most) if least == most else f"{least} to {most}"


def mark(place: int) -> dict[str, Any]:
    """Colour and shape of the arm at this place; hollow from the tenth on."""
    colour = PALETTE[place % len(PALETTE)]
    hollow = place // len(PALETTE) % 2
    return {
        "color": colour,
        "marker": SHAPES[place % len(SHAPES)],
        "markerfacecolor": "white" if hollow else colour,
        "linestyle": "none",
    }
