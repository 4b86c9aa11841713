"""Test loss against chain length, for sample sizes and noise levels."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from colarepro.figures.curves import Rows, bars, legend, of
from colarepro.figures.figure import Figure
from colarepro.figures.style import REFERENCE, WIDTH, letter
from colarepro.results import Record

QUANTITIES = {"test_loss": "test loss", "generalization_gap": "test - train loss"}
CLOSED_FORM = "best of this rank"  # reaches values that would flatten the panels
LIMITLESS = ({"color": "0.6", "linewidth": 2}, {"color": "black", "linestyle": ":"})  # full, least squares
HEADROOM = 1.15  # of the trained arms; what is higher is named at the panel's top


def table(records: Sequence[Record]) -> pd.DataFrame:
    """Mean and 95 % interval over seeds of losses and gap, by samples, noise, method and length or rank (0: neither
    limits)."""
    rows: Rows = []
    for record in of(records, "generalization"):
        problem = record.config["problem"]
        row = {
            "samples": problem["samples"],
            "noise": problem["noise"],
            "method": record.config["label"],
            "length": record.config["length"],
            "true_rank": problem["rank"],
            "inputs": problem["inputs"],
            "steps": record.config["steps"],
            "seeds": len(record.config["seeds"]),
        }
        for quantity in ("train_loss", *QUANTITIES):
            row |= {f"{quantity}_{part}": record.scores[f"{quantity}_{part}"] for part in ("mean", "low", "high")}
        rows.append(row)
    return pd.DataFrame(rows)


def panels_of(frame: pd.DataFrame, quantity: str) -> Canvas:
    """A row of panels a noise level, a column a sample size, of one of `QUANTITIES`."""
    noises, sizes = sorted(frame["noise"].unique()), sorted(frame["samples"].unique())
    canvas, panels = plt.subplots(len(noises), len(sizes), figsize=(WIDTH, 6.6), squeeze=False, sharex=True)
    for number, axes in enumerate(panels.flat):
        noise, samples = noises[number // len(sizes)], sizes[number % len(sizes)]
        _panel(axes, frame[(frame["noise"] == noise) & (frame["samples"] == samples)], quantity)
        letter(axes, number, f"noise {noise:g}, {samples} samples")
    for axes in panels[:, 0]:
        axes.set_ylabel(f"{QUANTITIES[quantity]}\n(half squared error)")
    for axes in panels[-1]:
        axes.set_xlabel("chain length, or rank")
    legend(canvas, 3)
    return canvas


def _panel(axes: Axes, frame: pd.DataFrame, quantity: str) -> None:
    limited = frame[frame["length"] > 0]
    groups = list(limited.groupby("method", sort=False))
    for index, (method, rows) in enumerate(groups):
        beside = 0.08 * (index - (len(groups) - 1) / 2)  # intervals beside each other
        bars(axes, index, rows["length"] + beside, rows, quantity, label=method, markersize=3, linewidth=1)
    trained = limited[limited["method"] != CLOSED_FORM]
    low, high = limited[f"{quantity}_low"].min(), trained[f"{quantity}_high"].max()
    above = []
    for index, (_, row) in enumerate(frame[frame["length"] == 0].iterrows()):
        value = row[f"{quantity}_mean"]
        axes.axhline(value, label=row["method"], **LIMITLESS[index % 2])
        if value > HEADROOM * high:
            above.append(f"{row['method']} {value:.3g}")
    axes.axvline(limited["true_rank"].iloc[0], color=REFERENCE, linewidth=3, alpha=0.25, label="true rank")
    space = 0.14 * bool(above)
    axes.set_ylim(low - 0.06 * (high - low), high + (HEADROOM - 1 + space) * (high - low))
    axes.set_xticks(sorted(limited["length"].unique()))
    if above:
        text = "↑ " + ", ".join(above)
        box = {"facecolor": "white", "edgecolor": "none", "pad": 1}
        axes.text(0.99, 0.97, text, transform=axes.transAxes, ha="right", va="top", fontsize=6.5, bbox=box, zorder=5)


def describe(frame: pd.DataFrame) -> str:
    """What both figures' marks are."""
    first = frame.iloc[0]
    return (
        f"Noisy regression with {first['inputs']} inputs and a shift of rank {first['true_rank']} (grey band). A chain "
        "of rank-1 links, one LoRA of as many ranks (as many trained parameters in sum) after equal steps and after "
        "equal floating-point operations, and the best update of that rank in closed form. Means with 95 % Student "
        f"intervals over {first['seeds']} seeds, drawn beside each other. Flat lines: full fine-tuning and least "
        "squares, which no rank limits; an arrow names those above the panel, and the closed form leaves it there."
    )


def draw(frame: pd.DataFrame) -> Canvas:
    return panels_of(frame, "test_loss")


def caption(frame: pd.DataFrame) -> str:
    return f"Test loss. {describe(frame)}"


GENERALIZATION = Figure("generalization-gap", "Test loss against chain length", "theory", table, draw, caption)
