"""Excess over the optimum against gradients, with Frank-Wolfe's proved bound."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure as Canvas

from colarepro.figures.figure import Figure
from colarepro.figures.style import COLOURS, LINES, MARKERS, REFERENCE, WIDTH, letter
from colarepro.results import Record

FLOOR = 1e-14  # below it, excesses are rounding
# In the CSV, but more lines than an eye can follow.
LEFT_OUT = ("full, AdamW", "COLA, 8 links, same A", "COLA, 8 links, AdamW", "Frank-Wolfe, line search")
TITLES = {"regression": "low-rank regression", "factorization": "matrix completion"}


def table(records: Sequence[Record]) -> pd.DataFrame:
    """Median and range of the excess over seeds, by problem, method and step; the bound where there is one."""
    rows = []
    for record in records:
        if record.config.get("experiment") != "convergence" or record.status != "done":
            continue
        excess = np.maximum(np.array(record.curves["excess"], dtype=float), FLOOR)
        bound = np.median(np.array(record.curves["bound"], dtype=float), axis=0) if "bound" in record.curves else None
        for index, step in enumerate(record.curves["step"]):
            rows.append(
                {
                    "problem": record.config["problem"]["name"],
                    "method": record.config["label"],
                    "step": step,
                    "median": np.median(excess[:, index]),
                    "lowest": excess[:, index].min(),
                    "highest": excess[:, index].max(),
                    "bound": None if bound is None else bound[index],
                    "seeds": len(excess),
                }
            )
    return pd.DataFrame(rows)


def draw(frame: pd.DataFrame) -> Canvas:
    problems = list(dict.fromkeys(frame["problem"]))
    methods = [m for m in dict.fromkeys(frame["method"]) if m not in LEFT_OUT]
    ranks = [m for m in methods if m.startswith("LoRA, rank") and m != "LoRA, rank 1"]
    styles = {m: "LoRA, true rank" if m in ranks else m for m in methods}  # the true rank differs between problems
    names = list(dict.fromkeys(styles.values()))
    canvas, panels = plt.subplots(1, len(problems), figsize=(WIDTH, 3.7), squeeze=False)
    for number, (axes, problem) in enumerate(zip(panels[0], problems, strict=True)):
        of_problem = frame[frame["problem"] == problem]
        for method in methods:
            rows = of_problem[of_problem["method"] == method]
            if rows.empty:
                continue
            index = names.index(styles[method])
            axes.plot(
                rows["step"],
                rows["median"],
                linestyle=LINES[index % len(LINES)],
                color=COLOURS[index % len(COLOURS)],
                marker=MARKERS[index % len(MARKERS)],
                markevery=(3 + 2 * index, 16),
                label=styles[method],
            )
            axes.fill_between(
                rows["step"],
                rows["lowest"],
                rows["highest"],
                color=COLOURS[index % len(COLOURS)],
                alpha=0.12,
                linewidth=0,
            )
            if rows["bound"].notna().any():
                axes.plot(
                    rows["step"], rows["bound"], color=REFERENCE, linewidth=2, label="Frank-Wolfe's bound (Jaggi)"
                )
        axes.set(xlabel="gradient evaluations", yscale="log", ylim=(FLOOR / 2, None), xlim=(0, None))
        letter(axes, number, TITLES[problem])
    panels[0][0].set_ylabel("loss above the optimum\n(half squared error)")
    handles, labels = panels[0][0].get_legend_handles_labels()
    canvas.legend(handles, labels, loc="outside lower center", ncols=3)
    return canvas


def caption(frame: pd.DataFrame) -> str:
    return (
        f"Loss above the optimum on noise-free low-rank problems; lines are medians over {frame['seeds'].iloc[0]} "
        "seeds, bands their whole range. Gradient descent at 1/L of each method's own objective; links have rank 1; "
        "every method gets the same number of gradients. Thick grey: the proved bound 2LD²/(t+2) of open-loop "
        f"Frank-Wolfe. Values below {FLOOR:g} are drawn there. The CSV holds four more methods."
    )


CONVERGENCE = Figure("convergence", "Convergence, and a bound", "theory", table, draw, caption)
