"""What a run costs, by method."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure as Canvas

from colarepro.figures.figure import Figure
from colarepro.figures.style import COLOURS, MARKERS, WIDTH, letter
from colarepro.results import Record

PANELS = {
    "parameters_trained": "trained parameters",
    "flops_per_token": "training FLOPs a token",
    "seconds_per_1000_tokens": "seconds per 1000 tokens",
}


def table(records: Sequence[Record]) -> pd.DataFrame:
    """Means over all finished runs of a model, method and device; padding counts as tokens, since it is computed."""
    rows = []
    for record in records:
        if record.status == "done":
            costs = record.costs
            fed = costs["tokens"] / (1 - costs["padding_share"])
            rows.append(
                {
                    "model": record.config["model"],
                    "method": record.config["method"],
                    "device": record.environment["device"],
                    "parameters_trained": costs["parameters_trained"],
                    "flops_per_token": costs["flops_train"] / fed,
                    "seconds_per_1000_tokens": 1000 * costs["seconds_train"] / fed,
                }
            )
    if not rows:
        return pd.DataFrame()
    grouped = pd.DataFrame(rows).groupby(["model", "method", "device"])
    return grouped.mean().assign(runs=grouped.size()).reset_index()


def draw(frame: pd.DataFrame) -> Canvas:
    models = list(dict.fromkeys(frame["model"]))
    methods = [method for method in ("full", "lora", "cola") if method in set(frame["method"])]
    canvas, panels = plt.subplots(1, len(PANELS), figsize=(WIDTH, 2.5))
    for number, (axes, (quantity, label)) in enumerate(zip(panels, PANELS.items(), strict=True)):
        means = frame.groupby(["model", "method"])[quantity].mean()
        for index, method in enumerate(methods):
            have = [place for place, model in enumerate(models) if (model, method) in means.index]
            axes.plot(
                [place + 0.2 * (index - (len(methods) - 1) / 2) for place in have],
                [means[models[place], method] for place in have],
                linestyle="none",
                marker=MARKERS[index],
                markersize=6,
                color=COLOURS[index],
                label=method,
            )
        axes.set(ylabel=label, yscale="log", xticks=range(len(models)), xticklabels=models)
        axes.set_xlim(-0.6, len(models) - 0.4)
        axes.grid(visible=False, axis="x")
        letter(axes, number, label)
    handles, labels = panels[0].get_legend_handles_labels()
    canvas.legend(handles, labels, loc="outside lower center", ncols=3)
    return canvas


def _span(counts: pd.Series) -> str:
    least, most = counts.min(), counts.max()
    return str(most) if least == most else f"{least} to {most}"


def caption(frame: pd.DataFrame) -> str:
    runs = "; ".join(
        f"{model} on {' and '.join(dict.fromkeys(rows['device']))}, {_span(rows['runs'])} runs a marker"
        for model, rows in frame.groupby("model", sort=False)
    )
    return (
        f"Cost of training, means over all runs ({runs}). FLOPs by formula: 4 a token for every weight in a matrix "
        "product, 2 more where it is trained; embeddings and attention scores left out. Seconds include the "
        "evaluations after every epoch and whatever else the machine was doing."
    )


COST = Figure("cost", "Cost", "llm", table, draw, caption)
