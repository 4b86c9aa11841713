"""Excess over the optimum against gradients, with Frank-Wolfe's proved bound."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure as Canvas

from colarepro.figures.curves import Rows, curve, line, of
from colarepro.figures.figure import Figure
from colarepro.figures.style import REFERENCE, WIDTH, letter
from colarepro.results import Record

LOWEST = 1e-10  # of the panels; lines that fall further leave them
SMALLEST = 1e-30  # in the CSV, where an excess is zero
# The others are in the CSV: more lines than an eye can follow.
DRAWN = (
    "full",
    "LoRA, rank 1",
    "LoRA, true rank",
    "COLA, 8 links",
    "COLA, 8 links, AdamW",
    "COLA, short links",
    "RAC-LoRA",
    "Frank-Wolfe, open loop",
    "idealised COLA",
)
TITLES = {
    "regression": "low-rank regression",
    "factorization": "matrix completion",
    "softmax": "softmax regression",
    "robust": "robust regression",
    "two-layer": "two-layer linear network",
}


def table(records: Sequence[Record]) -> pd.DataFrame:
    """Median and range of the excess over seeds, by problem, method and gradients; the bound where there is one."""
    rows: Rows = []
    for record in of(records, "convergence"):
        excess = np.maximum(curve(record, "excess"), SMALLEST)
        if record.status != "done":
            continue
        bound = np.median(curve(record, "bound"), axis=0) if "bound" in record.curves else None
        each = record.costs["gradients"] / record.curves["step"][-1]  # more than one where an oracle trains a link
        for index, step in enumerate(record.curves["step"]):
            rows.append(
                {
                    "problem": record.config["problem"]["name"],
                    "method": record.config["label"],
                    "step": step,
                    "gradients": step * each,
                    "median": np.median(excess[:, index]),
                    "lowest": excess[:, index].min(),
                    "highest": excess[:, index].max(),
                    "bound": None if bound is None else bound[index],
                    "seeds": len(excess),
                }
            )
    return pd.DataFrame(rows)


def draw(frame: pd.DataFrame) -> Canvas:
    problems = [problem for problem in TITLES if problem in set(frame["problem"])]
    budget = frame["step"].max()
    canvas, panels = plt.subplots(2, 3, figsize=(WIDTH, 4.4))
    for number, (axes, problem) in enumerate(zip(panels.flat, problems, strict=False)):
        of_problem = frame[(frame["problem"] == problem) & frame["method"].isin(DRAWN)]
        for index, method in enumerate(DRAWN):
            rows = of_problem[of_problem["method"] == method]
            if rows.empty:
                continue
            rows = rows[rows["gradients"] <= budget]
            every = max(1, len(rows) // 4)
            band = rows["lowest"], rows["highest"]
            line(
                axes,
                index,
                rows["gradients"],
                rows["median"],
                band,
                label=method,
                markevery=(min(index, len(rows) - 1) % every, every),
            )
            if rows["bound"].notna().any():
                label = "Jaggi's bound on it"
                axes.plot(rows["gradients"], rows["bound"], color=REFERENCE, linewidth=2, label=label)
        axes.set_xlim(0, budget)
        if of_problem["highest"].max() > 30 * of_problem["lowest"].min():
            axes.set(yscale="log", ylim=(max(LOWEST, of_problem["lowest"].min()), 2 * of_problem["highest"].max()))
            axes.minorticks_off()
        else:
            axes.set_ylim(0, None)
        letter(axes, number, TITLES[problem])
    handles, labels = panels.flat[0].get_legend_handles_labels()
    for axes in panels.flat[len(problems) :]:
        axes.axis("off")
    panels.flat[-1].legend(handles, labels, loc="center left")
    for axes in (*panels[1, :2], panels[0, 2]):
        axes.set_xlabel("gradient evaluations")
    for axes in panels[:, 0]:
        axes.set_ylabel("loss above the optimum")
    return canvas


def caption(frame: pd.DataFrame) -> str:
    return (
        f"Loss above the optimum (robust regression: above 0, a lower bound); lines are medians over "
        f"{frame['seeds'].iloc[0]} seeds, bands their whole range. Gradient descent at 1/L of each method's own "
        "objective, AdamW at its best rate on other seeds; links have rank 1; short links take 16 gradients. Every "
        "method is given the same number of gradients; the links that idealised COLA trains as its oracle count. Thick "
        f"grey: the proved bound 2LD²/(t+2) of open-loop Frank-Wolfe. Lines below {LOWEST:g} leave the panel. "
        f"{frame['method'].nunique() - len(DRAWN)} more methods are in the CSV."
    )


CONVERGENCE = Figure("convergence", "Convergence, and a bound", "theory", table, draw, caption)
