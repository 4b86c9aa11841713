"""Greedy pursuit against its linear rate, and how far trained links are from ideal ones."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure as Canvas

from colarepro.figures.curves import Rows, bars, curve, legend, mark, of, theory
from colarepro.figures.figure import Figure
from colarepro.figures.style import REFERENCE, WIDTH, letter
from colarepro.results import Record

PURSUITS = {1.0: "fully observed", 0.5: "half observed"}


def table(records: Sequence[Record]) -> pd.DataFrame:
    """``pursuit``: mean and range over seeds of the relative excess by observed share, rank and step, and the bound;
    ``path``: geometric mean with 95 % interval of the lag by condition and steps of a link."""
    rows: Rows = []
    for record in of(records, "pursuit"):
        relative, bound = curve(record, "relative"), curve(record, "bound")[0]
        for index, step in enumerate(record.curves["step"]):
            rows.append(
                {
                    "panel": "pursuit",
                    "observed": record.config["problem"]["observed"],
                    "rank": record.config["method"]["rank"],
                    "step": step,
                    "relative": np.mean(relative[:, index]),
                    "lowest": relative[:, index].min(),
                    "highest": relative[:, index].max(),
                    "bound": bound[index],
                    "seeds": len(relative),
                }
            )
    for record in of(records, "path"):
        rows.append(
            {
                "panel": "path",
                "condition": record.config["condition"],
                "link_steps": record.config["link_steps"],
                "links": record.config["method"]["length"],
                **{name: record.scores[name] for name in record.scores if name.startswith(("lag_", "distance_"))},
                "seeds": len(record.config["seeds"]),
            }
        )
    return pd.DataFrame(rows)


def draw(frame: pd.DataFrame) -> Canvas:
    canvas, panels = plt.subplots(1, 3, figsize=(WIDTH, 3.2))
    pursuits, path = frame[frame["panel"] == "pursuit"], frame[frame["panel"] == "path"]
    for number, (axes, (observed, title)) in enumerate(zip(panels, PURSUITS.items(), strict=False)):
        for index, (rank, rows) in enumerate(pursuits[pursuits["observed"] == observed].groupby("rank")):
            style = mark(index)
            axes.plot(rows["step"], rows["relative"], label=f"pursuit of rank {rank:g}", **style | {"linestyle": "-"})
            axes.fill_between(rows["step"], rows["lowest"], rows["highest"], color=style["color"], alpha=0.2)
            theory(axes, index, rows["step"], rows["bound"])
        axes.set(xlabel="pursuits", yscale="log", ylim=(0.005, 1.3))
        letter(axes, number, title)
    panels[0].set_ylabel("excess / excess at the start")
    panels[0].plot([], [], "--", color=REFERENCE, linewidth=0.9, label="bound (1 - r/16)^k, hollow")
    for index, (condition, rows) in enumerate(path.groupby("condition")):
        rows = rows.sort_values("link_steps")
        bars(panels[2], index + 3, rows["link_steps"], rows, "lag", label=f"chain, inputs of condition {condition:g}")
    ticks = sorted(path["link_steps"].unique())
    panels[2].set(xlabel="gradient steps a link", ylabel="missed share of the ideal gain", xscale="log", yscale="log")
    panels[2].set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    panels[2].minorticks_off()
    letter(panels[2], 2, "trained links")
    legend(canvas, 3)
    return canvas


def caption(frame: pd.DataFrame) -> str:
    links = frame["links"].dropna().iloc[0]
    return (
        f"Greedy pursuit of a 24 × 16 matrix of rank 16 with a flat spectrum, {frame['seeds'].iloc[0]} seeds; lines "
        "are means, bands the whole range, dashes the bound on each pursuit's factor, with all entries observed (a) "
        f"and half of them (b). (c) What a chain of {links:.0f} trained rank-1 links has not "
        f"gained of what {links:.0f} ideal links gain (reduced-rank regression), as a share: geometric means with 95 % "
        "intervals over seeds."
    )


PURSUIT = Figure("pursuit", "Greedy pursuit, and trained links", "theory", table, draw, caption)
