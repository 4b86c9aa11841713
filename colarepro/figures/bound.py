"""Theorem 4.1 of the paper: the average Frank-Wolfe gap against its bound."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure as Canvas

from colarepro.figures.convergence import TITLES
from colarepro.figures.figure import Figure
from colarepro.figures.style import COLOURS, LINES, MARKERS, REFERENCE, WIDTH, letter
from colarepro.results import Record


def table(records: Sequence[Record]) -> pd.DataFrame:
    """Average gap and bounds in units of the printed bound at T = 1, mean over seeds, by problem, radius and T."""
    rows = []
    for record in records:
        if record.config.get("experiment") != "bound" or record.config["method"]["rule"] != "fixed":
            continue
        average, printed, proved = (
            np.array(record.curves[name], dtype=float) for name in ("average_gap", "bound_printed", "bound_proved")
        )
        unit = printed[:, :1]
        for index, steps in enumerate(record.curves["step"]):
            rows.append(
                {
                    "problem": record.config["problem"]["name"],
                    "radius_share": record.config["radius_share"],
                    "T": steps,
                    "average_gap": (average / unit)[:, index].mean(),
                    "lowest": (average / unit)[:, index].min(),
                    "highest": (average / unit)[:, index].max(),
                    "bound_printed": (printed / unit)[:, index].mean(),
                    "bound_proved": (proved / unit)[:, index].mean(),
                    "seeds": len(average),
                }
            )
    return pd.DataFrame(rows)


def draw(frame: pd.DataFrame) -> Canvas:
    problems = list(dict.fromkeys(frame["problem"]))
    canvas, panels = plt.subplots(1, len(problems), figsize=(WIDTH, 2.9), squeeze=False, sharey=True)
    for number, (axes, problem) in enumerate(zip(panels[0], problems, strict=True)):
        of_problem = frame[frame["problem"] == problem]
        for index, (share, rows) in enumerate(of_problem.groupby("radius_share")):
            axes.plot(
                rows["T"],
                rows["average_gap"],
                linestyle=LINES[index],
                marker=MARKERS[index],
                color=COLOURS[index],
                label=f"measured, radius {share:g} × |ΔW*|",
            )
            axes.fill_between(rows["T"], rows["lowest"], rows["highest"], color=COLOURS[index], alpha=0.2, linewidth=0)
        line = of_problem[of_problem["radius_share"] == of_problem["radius_share"].iloc[0]]
        axes.plot(line["T"], line["bound_printed"], color=REFERENCE, linewidth=2, label="bound as printed, constant 2")
        axes.plot(line["T"], line["bound_proved"], "--", color=REFERENCE, label="as its proof gives it, constant 1.5")
        axes.set(xlabel="steps T", xscale="log", yscale="log")
        letter(axes, number, TITLES[problem])
    panels[0][0].set_ylabel("average Frank-Wolfe gap\n(share of the bound at T = 1)")
    handles, labels = panels[0][0].get_legend_handles_labels()
    canvas.legend(handles, labels, loc="outside lower center", ncols=2)
    return canvas


def caption(frame: pd.DataFrame) -> str:
    return (
        "Theorem 4.1: Frank-Wolfe with the theorem's fixed step in nuclear-norm balls twice, once and half as large as "
        "the optimal update's nuclear norm |ΔW*|; one run for every T, exact oracle (ε = 0). Markers are means over "
        f"{frame['seeds'].iloc[0]} seeds, bands the whole range. The inequality holds where a marker lies below the "
        "line."
    )


BOUND = Figure("bound", "The paper's theorem against measurement", "theory", table, draw, caption)
