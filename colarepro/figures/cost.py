"""What training costs, by arm."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure as Canvas

from colarepro.figures.arms import in_order, mark, span
from colarepro.figures.figure import Figure
from colarepro.figures.style import WIDTH, letter
from colarepro.results import Record, arm

PANELS = {
    "parameters_trained": ("parameters", "trained parameters"),
    "flops_per_token": ("FLOPs", "training FLOPs a token"),
    "seconds_per_1000_tokens": ("time", "seconds per 1000 tokens"),
}
"""Titles and axes."""


def table(records: Sequence[Record]) -> pd.DataFrame:
    """Means over all finished runs that trained, by model, arm, device and the runs that shared the base; padding
    counts as tokens, since it is computed."""
    rows = []
    for record in records:
        costs = record.costs
        if record.status == "done" and "flops_train" in costs:
            fed = costs["tokens"] / (1 - costs["padding_share"])
            rows.append(
                {
                    "model": record.config["model"],
                    "arm": arm(record),
                    "device": record.environment["device"],
                    "shared": costs.get("fleet", 1) > 1,
                    "parameters_trained": costs["parameters_trained"],
                    "flops_per_token": costs["flops_train"] / fed,
                    "seconds_per_1000_tokens": 1000 * costs["seconds_train"] / fed,
                }
            )
    if not rows:
        return pd.DataFrame()
    grouped = pd.DataFrame(rows).groupby(["model", "arm", "device", "shared"])
    return grouped.mean().assign(runs=grouped.size()).reset_index()


def draw(frame: pd.DataFrame) -> Canvas:
    frame = frame.assign(model=frame["model"].where(~frame["shared"], frame["model"] + "\ntogether"))
    models = list(dict.fromkeys(frame["model"]))
    arms = in_order(frame["arm"])
    gap = min(0.2, 0.8 / len(arms))
    canvas, panels = plt.subplots(1, len(PANELS), figsize=(WIDTH, 2.5))
    for number, (axes, (quantity, (title, label))) in enumerate(zip(panels, PANELS.items(), strict=True)):
        means = frame.groupby(["model", "arm"])[quantity].mean()
        for index, name in enumerate(arms):
            have = [place for place, model in enumerate(models) if (model, name) in means.index]
            axes.plot(
                [place + gap * (index - (len(arms) - 1) / 2) for place in have],
                [means[models[place], name] for place in have],
                markersize=6,
                label=name,
                **mark(index),
            )
        axes.set(ylabel=label, yscale="log", xticks=range(len(models)), xticklabels=models)
        axes.set_xlim(-0.6, len(models) - 0.4)
        axes.grid(visible=False, axis="x")
        letter(axes, number, title)
    handles, labels = panels[0].get_legend_handles_labels()
    canvas.legend(handles, labels, loc="outside lower center", ncols=min(len(arms), 4))
    return canvas


def caption(frame: pd.DataFrame) -> str:
    runs = "; ".join(
        f"{model} on {' and '.join(dict.fromkeys(rows['device']))}, {span(rows['runs'])} runs a marker"
        for model, rows in frame.groupby("model", sort=False)
    )
    return (
        f"Cost of training, means over all runs ({runs}). FLOPs by formula: 4 a token for every weight in a matrix "
        "product, 2 more where it is trained, and attention's products, which records without flops_train_counted "
        "leave out. Seconds include the evaluations after every epoch and whatever else the machine was doing"
        f"{'; those of runs that shared a base are their part of the whole' if frame['shared'].any() else ''}."
    )


COST = Figure("cost", "Cost", "llm", table, draw, caption)
