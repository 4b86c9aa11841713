"""What the language-model figures share: the arms' order and their marks."""

from collections.abc import Iterable
from typing import Any

import pandas as pd

from colarepro.figures.curves import PALETTE, SHAPES


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
