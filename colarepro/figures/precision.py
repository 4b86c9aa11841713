"""Chains of a hundred links over weights in narrow types."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure as Canvas

from colarepro.figures.curves import Rows, bars, curve, legend, line, of
from colarepro.figures.figure import Figure
from colarepro.figures.style import REFERENCE, WIDTH, letter
from colarepro.results import Record

SHORT = {
    f"{kind}, {how}": f"{kind}\n{word}"
    for kind in ("float64", "float32", "float16", "bfloat16")
    for how, word in (("sum rounded once", "once"), ("added in place", "in place"))
}


def table(records: Sequence[Record]) -> pd.DataFrame:
    """Median and range of the merged weight's excess, by the shift's size, type and knots; mean and 95 % interval of
    the share that is kept at the end."""
    rows: Rows = []
    for record in of(records, "precision"):
        excess, config = curve(record, "excess"), record.config
        for index, step in enumerate(record.curves["step"]):
            rows.append(
                {
                    "size": config["size"],
                    "weights": config["label"],
                    "knots": step * config["method"]["length"] / config["steps"],
                    "median": np.median(excess[:, index]),
                    "lowest": excess[:, index].min(),
                    "highest": excess[:, index].max(),
                    **{f"kept_{part}": record.scores[f"kept_{part}"] for part in ("mean", "low", "high")},
                    "seeds": len(excess),
                }
            )
    return pd.DataFrame(rows)


def draw(frame: pd.DataFrame) -> Canvas:
    sizes, types = sorted(frame["size"].unique(), reverse=True), list(dict.fromkeys(frame["weights"]))
    canvas, panels = plt.subplots(
        2, len(sizes), figsize=(WIDTH, 5), squeeze=False, sharex="row", sharey="row", height_ratios=(2.2, 1)
    )
    for number, size in enumerate(sizes):
        top, bottom = panels[:, number]
        for index, weights in enumerate(types):
            rows = frame[(frame["size"] == size) & (frame["weights"] == weights)]
            band = rows["lowest"], rows["highest"]
            every = max(1, len(rows) // 6)
            line(top, index, rows["knots"], rows["median"], band, label=weights, markevery=(2 * index, every))
            one = rows.tail(1)
            mean = 100 * one[["kept_mean", "kept_low", "kept_high"]]
            bars(bottom, index, pd.Series([index], index=mean.index), mean, "kept")
            value = mean["kept_mean"].iloc[0]
            bottom.annotate(
                f"{value:.1f}", (index, value), xytext=(0, -13), textcoords="offset points", ha="center", fontsize=7
            )
        top.set(xlabel="knots", yscale="log")
        top.minorticks_off()
        letter(top, number, f"shift of size {size:g}")
        bottom.axhline(100, color=REFERENCE, linewidth=0.8)
        bottom.set_xticks(range(len(types)), [SHORT.get(name, name) for name in types])
        bottom.set(xlim=(-0.6, len(types) - 0.4), xlabel="type of the weight")
        bottom.grid(visible=False, axis="x")
        letter(bottom, number + len(sizes), "kept of the sum of all links")
    panels[0][0].set_ylabel("loss above the optimum,\nmerged weight")
    panels[1][0].set(ylabel="kept (%)", ylim=(min(40, 100 * frame["kept_low"].min() - 15), 108))
    legend(canvas, 3)
    return canvas


def caption(frame: pd.DataFrame) -> str:
    return (
        "Chains of 100 rank-4 links by gradient descent on a regression whose weight is stored in the named type: the "
        "float64 sum of start and links rounded once a knot, or each rounded link added in that type. The shift's "
        "largest singular value is about the start's (1) or a tenth of it (0.1). Top: medians over "
        f"{frame['seeds'].iloc[0]} seeds, bands their whole range. Bottom: how far the merged weight moved along the "
        "sum of all links, as a share of that sum; means with 95 % intervals."
    )


PRECISION = Figure("precision", "Chains in finite precision", "theory", table, draw, caption)
