"""What the language-model figures share: the runs that they show, and the arms' order and marks."""

from collections.abc import Iterable, Sequence
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from colarepro.figures.curves import PALETTE, SHAPES
from colarepro.figures.style import WIDTH, letter
from colarepro.ledger.evidence import NAMES, TASKS, Evidence
from colarepro.results import Record

SETTING = ["model", "dtype", "protocol"]
METHODS = (
    "full",
    "lora",
    "cola",
    "lora-restart",
    "lora-rank-sum",
    "relora",
    "asym-lora",
    "rac-lora",
    "linear-probe",
    "zero-shot",
    "in-context",
)
"""As in `colarepro.methods`, whose import takes seconds."""
CHAIN = {"lora": 1} | {f"cola, length {length}": length for length in range(2, 13)}
"""Chain length by arm, of links of equal length and equal rank."""


def campaign(records: Iterable[Record]) -> pd.DataFrame:
    """The `runs_table` of the model, dtype and protocol with the most runs; a figure does not mix two settings."""
    return Evidence(records).runs


def chosen(records: Iterable[Record]) -> pd.DataFrame:
    """The runs of the `campaign` at the learning rates that dev chooses, of arms that are whole, as `selected` says."""
    frame = Evidence(records).chosen
    return frame if frame.empty else frame[frame["whole"]].reset_index(drop=True)


def spread(frame: pd.DataFrame, by: Sequence[str], quantity: str = "test_accuracy") -> pd.DataFrame:
    """Mean, standard deviation and range over the draws, within ``by``; also their number, learning rate, majority."""
    if frame.empty:
        return frame
    columns = {
        "mean": (quantity, "mean"),
        "sd": (quantity, "std"),
        "lowest": (quantity, "min"),
        "highest": (quantity, "max"),
        "draws": (quantity, "count"),
        "learning_rate": ("learning_rate", "first"),
        "majority": ("test_majority", "mean"),
        "test_examples": ("test_examples", "first"),
    }
    return frame.groupby([*SETTING, *by], sort=False).agg(**columns).reset_index()


def is_ablation(arms: pd.Series) -> pd.Series:
    """Whether an arm moves the knot, as the rank step-down and the knot policy do; they have figures of their own."""
    return arms.str.contains(", knot")


def in_order(arms: Iterable[str]) -> list[str]:
    """Distinct arms, by the methods' order: full, lora, cola, the controls, those without training."""
    return sorted(set(arms), key=lambda name: (METHODS.index(name.split(", ")[0]), name))


def tasks_in_order(tasks: Iterable[str]) -> list[str]:
    """Distinct tasks, the paper's first and in its order."""
    return sorted(set(tasks), key=lambda name: (TASKS.index(name) if name in TASKS else len(TASKS), name))


def span(counts: pd.Series) -> str:
    """The least and the most of them in words."""
    least, most = counts.min(), counts.max()
    return f"{most:.0f}" if least == most else f"{least:.0f} to {most:.0f}"


def setting(frame: pd.DataFrame) -> str:
    """Model and dtype in words."""
    return f"{model_name(frame)} in {frame['dtype'].iloc[0]}"


def model_name(frame: pd.DataFrame) -> str:
    """The model as people write it."""
    name = str(frame["model"].iloc[0])
    return NAMES.get(name, name)


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


def task_panels(tasks: Sequence[str], height: float = 1.75, columns: int = 4) -> tuple[Canvas, dict[str, Axes]]:
    """A panel a task, lettered and in order, of this height in inches."""
    columns = min(columns, len(tasks))
    rows = -(-len(tasks) // columns)
    canvas, panels = plt.subplots(rows, columns, figsize=(WIDTH, 0.5 + height * rows), squeeze=False)
    for axes in panels.flat[len(tasks) :]:
        axes.set_visible(False)
    named = dict(zip(tasks, panels.flat, strict=False))
    for number, (task, axes) in enumerate(named.items()):
        letter(axes, number, task)
    return canvas, named
