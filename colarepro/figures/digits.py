"""Test accuracy on real data, from the digits 0-4 to the digits 5-9."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure as Canvas

from colarepro.figures.curves import Rows, mark, of
from colarepro.figures.figure import Figure
from colarepro.figures.style import REFERENCE, WIDTH
from colarepro.results import Record


def table(records: Sequence[Record]) -> pd.DataFrame:
    """Mean and 95 % interval over seeds of the test accuracy in per cent, by method, with what it trains at once."""
    rows: Rows = []
    for record in of(records, "digits"):
        scores = record.scores
        rows.append(
            {
                "method": record.config["label"],
                "trained": scores["trained"],
                **{name: scores[name] for name in scores if name.startswith(("accuracy", "start_accuracy", "rank"))},
                "learning_rate": scores["learning_rate"],
                "largest_rate": max(record.config["learning_rates"]),
                "steps": record.config["steps"],
                "seeds": len(record.config["seeds"]),
            }
        )
    return pd.DataFrame(rows)


def draw(frame: pd.DataFrame) -> Canvas:
    canvas, axes = plt.subplots(figsize=(WIDTH, 2.9))
    for index, (_, row) in enumerate(frame.iterrows()):
        ends = [[row["accuracy_mean"] - row["accuracy_low"]], [row["accuracy_high"] - row["accuracy_mean"]]]
        axes.errorbar(
            row["accuracy_mean"], index, xerr=ends, capsize=2.5, **mark(index) | {"linestyle": "none", "markersize": 5}
        )
        axes.annotate(
            f"{row['accuracy_mean']:.1f}",
            (row["accuracy_mean"], index),
            xytext=(0, 4),
            textcoords="offset points",
            ha="center",
            fontsize=7,
        )
    start = frame["start_accuracy_mean"].iloc[0]
    axes.axvline(start, color=REFERENCE, linestyle="--")
    axes.annotate(
        "before\nfine-tuning",
        (start, len(frame) - 1.2),
        xytext=(-4, 0),
        textcoords="offset points",
        ha="right",
        color=REFERENCE,
        fontsize=7,
    )
    axes.set_yticks(range(len(frame)), [f"{row['method']} ({row['trained']:.0f})" for _, row in frame.iterrows()])
    axes.invert_yaxis()
    axes.set(xlabel="test accuracy (%)", xlim=(0, 100))
    axes.set_ylabel("method (trained at once)")
    return canvas


def caption(frame: pd.DataFrame) -> str:
    first = frame.iloc[0]
    at_edge = (frame["learning_rate"] == frame["largest_rate"]).sum()
    return (
        "A tanh network pre-trained on the digits 0-4 of scikit-learn's 8 × 8 images and fine-tuned on 5-9 by "
        f"{first['steps']} steps of AdamW, at the learning rate that trains best on other seeds (for {at_edge} of "
        f"{len(frame)} methods the largest that was tried, {first['largest_rate']:g}); rank 1 unless named. In "
        "brackets: parameters trained at once. Markers are means, bars 95 % Student intervals over "
        f"{first['seeds']} seeds. The offline cousin of RAC-LoRA's MNIST table; its numbers are not comparable."
    )


DIGITS = Figure("digits", "Real data: digits", "theory", table, draw, caption)
