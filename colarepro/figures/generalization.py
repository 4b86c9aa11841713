"""Test loss and generalisation gap against chain length."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure as Canvas

from colarepro.figures.figure import Figure
from colarepro.figures.style import COLOURS, LINES, MARKERS, REFERENCE, WIDTH, letter
from colarepro.results import Record

QUANTITIES = {"test_loss": "test loss", "generalization_gap": "test − train loss"}


def table(records: Sequence[Record]) -> pd.DataFrame:
    """Mean and 95 % interval over seeds of losses and gap, by method and length (0: neither rank nor length limits)."""
    rows = []
    for record in records:
        if record.config.get("experiment") != "generalization" or record.status != "done":
            continue
        row = {
            "method": record.config["label"],
            "length": record.config["length"],
            "true_rank": record.config["problem"]["rank"],
            "samples": record.config["problem"]["samples"],
            "inputs": record.config["problem"]["inputs"],
            "seeds": len(record.config["seeds"]),
        }
        for quantity in ("train_loss", *QUANTITIES):
            row |= {f"{quantity}_{part}": record.scores[f"{quantity}_{part}"] for part in ("mean", "low", "high")}
        rows.append(row)
    return pd.DataFrame(rows)


def draw(frame: pd.DataFrame) -> Canvas:
    canvas, panels = plt.subplots(1, 2, figsize=(WIDTH, 3.1))
    limited = frame[frame["length"] > 0]
    for number, (axes, (quantity, label)) in enumerate(zip(panels, QUANTITIES.items(), strict=True)):
        for index, (method, rows) in enumerate(limited.groupby("method", sort=False)):
            mean = rows[f"{quantity}_mean"]
            axes.errorbar(
                rows["length"] + 0.08 * (index - 1),  # intervals beside each other
                mean,
                yerr=(mean - rows[f"{quantity}_low"], rows[f"{quantity}_high"] - mean),
                linestyle=LINES[index],
                marker=MARKERS[index],
                color=COLOURS[index],
                capsize=2,
                label=method,
            )
        for index, (_, row) in enumerate(frame[frame["length"] == 0].iterrows()):
            axes.axhline(row[f"{quantity}_mean"], color=REFERENCE, linestyle=("-", ":")[index], label=row["method"])
        axes.axvline(frame["true_rank"].iloc[0], color=REFERENCE, linewidth=0.8, alpha=0.6)
        axes.set(
            xlabel="chain length, or rank",
            ylabel=f"{label} (half squared error)",
            xticks=sorted(limited["length"].unique()),
        )
        letter(axes, number, label)
    axes.annotate(
        "true rank",
        (frame["true_rank"].iloc[0], axes.get_ylim()[0]),
        xytext=(4, 4),
        textcoords="offset points",
        color=REFERENCE,
        fontsize=7,
    )
    handles, labels = axes.get_legend_handles_labels()
    canvas.legend(handles, labels, loc="outside lower center", ncols=3)
    return canvas


def caption(frame: pd.DataFrame) -> str:
    first = frame.iloc[0]
    return (
        f"Noisy low-rank regression with {first['samples']} samples of {first['inputs']} inputs, true rank "
        f"{first['true_rank']}; rank-1 links, all methods after equally many gradient steps. Means with 95 % Student "
        f"intervals over {first['seeds']} seeds. Grey lines: full fine-tuning and least squares, which no rank limits."
    )


GENERALIZATION = Figure("generalization-gap", "Generalisation gap against chain length", "theory", table, draw, caption)
