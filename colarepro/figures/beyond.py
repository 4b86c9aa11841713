"""What Theorem 4.1 leaves out: rank, adding instead of a convex combination, and AdamW."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure as Canvas

from colarepro.figures.curves import Rows, curve, legend, line, of
from colarepro.figures.figure import Figure
from colarepro.figures.style import WIDTH, letter
from colarepro.results import Record


def table(records: Sequence[Record]) -> pd.DataFrame:
    """Median and range over seeds of the excess and of the links' oracle share, by rank, kind and links."""
    rows: Rows = []
    for record in of(records, "beyond"):
        values = {"excess": curve(record, "excess"), "share": curve(record, "oracle_share")}
        for index, links in enumerate(record.curves["step"]):
            row = {
                "rank": record.config["rank"],
                "kind": record.config["label"],
                "links": links,
                "link_steps": record.config["link_steps"],
                "seeds": len(record.config["seeds"]),
            }
            for name, seeds in values.items():
                now = seeds[:, index][np.isfinite(seeds[:, index])]  # before the first link there is no oracle
                row[f"{name}_median"] = np.median(now) if len(now) else None
                row[f"{name}_lowest"] = now.min() if len(now) else None
                row[f"{name}_highest"] = now.max() if len(now) else None
            rows.append(row)
    return pd.DataFrame(rows)


def draw(frame: pd.DataFrame) -> Canvas:
    ranks, kinds = sorted(frame["rank"].unique()), list(dict.fromkeys(frame["kind"]))
    canvas, panels = plt.subplots(2, len(ranks), figsize=(WIDTH, 4.6), squeeze=False, sharex=True, sharey="row")
    for row, name in enumerate(("excess", "share")):
        for column, rank in enumerate(ranks):
            axes = panels[row][column]
            for index, kind in enumerate(kinds):
                rows = frame[(frame["rank"] == rank) & (frame["kind"] == kind)].dropna(subset=[f"{name}_median"])
                band = rows[f"{name}_lowest"], rows[f"{name}_highest"]
                line(axes, index, rows["links"], rows[f"{name}_median"], band, label=kind, markevery=2)
            letter(axes, row * len(ranks) + column, f"rank {rank}")
    panels[0][0].set(yscale="log", ylabel="loss above the optimum")
    panels[0][0].minorticks_off()
    panels[1][0].set(ylim=(0, 1), ylabel="error as an oracle\n(share of the exact oracle's gain)")
    for axes in panels[1]:
        axes.set(xlabel="links", xlim=(0, frame["links"].max() + 0.5))
    legend(canvas, 3)
    return canvas


def caption(frame: pd.DataFrame) -> str:
    first = frame.iloc[0]
    return (
        f"Chains of {frame['links'].max()} links with {first['link_steps']} inner steps each on regression with a "
        "shift of rank 4: the theorem's convex combination of links scaled to the ball, and COLA's addition of links "
        f"trained by gradient descent or by AdamW at its best rate. Lines are medians over {first['seeds']} seeds, "
        "bands their whole range. Bottom: by how much a link's direction misses the best rank-one atom for the "
        "gradient it began at; 0 is the exact oracle of Frank-Wolfe, 1 gains nothing."
    )


BEYOND = Figure("beyond", "What the theorem leaves out", "theory", table, draw, caption)
