"""What happens inside a chain: gap, oracle, rank, intruders, forgetting, spectrum, angles."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import NullFormatter

from colarepro.anatomy.gap import frank_wolfe_gap
from colarepro.figures.arms import in_order, span, tasks_in_order
from colarepro.figures.curves import legend, line
from colarepro.figures.figure import Figure
from colarepro.figures.style import REFERENCE, WIDTH, letter
from colarepro.results import Record, runs_table, selected

ALONG = {
    "gap": ("Frank-Wolfe gap", "gap (nats)"),
    "share": ("the link as an oracle", "share of the\nbest gain missed"),
    "effective_rank": ("effective rank of the delta", "rank"),
    "intruders": ("intruder dimensions", "of 10"),
    "perplexity": ("held-out perplexity", "perplexity"),
}
"""Title and axis of what is drawn against the step."""
BY_PLACE = {
    "spectrum": ("spectrum at the end", "singular value", "number of the singular value"),
    "angles_columns": ("angles of links' outputs", "degrees", ""),
    "angles_rows": ("angles of links' inputs", "degrees", "number of the principal angle"),
}
"""Title, axis and horizontal axis of what is drawn against a place."""
ABREAST = 3
"""Tasks that a page has room for; more make it wider."""
TABLED = ("loss", "rank", "stable_rank", "epsilon", "cosine_top", "cosine_gradient", "gradient_norm", "delta_norm")
"""What only the table has."""


def table(records: Sequence[Record]) -> pd.DataFrame:
    """Mean and range over draws, a row for every arm, quantity, look and place, at the learning rates that dev chooses.

    Gaps are in one product of balls for all runs of a task, target by target as large as the largest nuclear norm that
    any of them had, so that they may be compared.
    """
    by_identity = {run.identity: record for record in records for run in [replace(record, kind="llm")]}
    runs = selected(runs_table(replace(record, kind="llm") for record in records))
    if runs.empty:
        return runs
    frames = []
    for (model, dtype, task), group in runs[runs["status"] == "done"].groupby(["model", "dtype", "task"]):
        own = [by_identity[identity] for identity in group["identity"]]
        radius = np.max([np.max(record.curves["nuclear"], axis=0) for record in own], axis=0)
        for record, arm in zip(own, group["arm"], strict=True):
            head = {"model": model, "dtype": dtype, "task": task, "arm": arm}
            head["learning_rate"] = record.config["learning_rate"]
            frames.append(pd.DataFrame(_rows(record, radius)).assign(**head))
    if not frames:
        return pd.DataFrame()
    frame = pd.concat(frames, ignore_index=True).astype({"value": float})
    keys = ["model", "dtype", "task", "arm", "learning_rate", "quantity", "look", "step", "when", "place"]
    over_draws = frame.groupby(keys, sort=False)
    return over_draws.agg(
        mean=("value", "mean"), lowest=("value", "min"), highest=("value", "max"), draws=("value", "size")
    ).reset_index()


def _rows(record: Record, radius: np.ndarray) -> Iterator[dict[str, Any]]:
    inner, largest = (np.array(record.curves[name]) for name in ("inner", "largest"))
    curves = {"gap": frank_wolfe_gap(inner, largest, radius).tolist()}  # the record's own is in balls of its own
    curves |= {name: record.curves[name] for name in (*ALONG, *TABLED) if name != "gap"}
    looks = list(zip(record.curves["step"], record.curves["when"], strict=True))
    for quantity, curve in curves.items():
        for look, ((step, when), value) in enumerate(zip(looks, curve, strict=True)):
            yield {"quantity": quantity, "look": look, "step": step, "when": when, "place": 0, "value": value}
    last = len(looks) - 1
    for quantity in ("angles_columns", "angles_rows", "angles_columns_chance", "angles_rows_chance", "spectrum"):
        for look, (step, when) in enumerate(looks):
            ended = look == last or (when == "before knot" and quantity != "spectrum")
            for place, value in enumerate(record.curves[quantity][look] if ended else (), start=1):
                yield {"quantity": quantity, "look": look, "step": step, "when": when, "place": place, "value": value}


def draw(frame: pd.DataFrame) -> Canvas:
    cases = [
        (model, dtype, task)
        for model, dtype in sorted(set(zip(frame["model"], frame["dtype"], strict=True)))
        for task in tasks_in_order(frame.loc[(frame["model"] == model) & (frame["dtype"] == dtype), "task"])
    ]
    rows = [*ALONG, *(quantity for quantity in BY_PLACE if (frame["quantity"] == quantity).any())]
    several = len({model for model, _, _ in cases}) > 1
    size = WIDTH * max(1, len(cases) / ABREAST), 0.8 + 1.25 * len(rows)
    canvas, panels = plt.subplots(len(rows), len(cases), figsize=size, squeeze=False)
    arms = in_order(frame["arm"])
    for column, (model, dtype, task) in enumerate(cases):
        here = frame[(frame["model"] == model) & (frame["dtype"] == dtype) & (frame["task"] == task)]
        for row, quantity in enumerate(rows):
            axes = panels[row, column]
            of_quantity = here[here["quantity"] == quantity]
            if quantity in ALONG:
                title, label = ALONG[quantity]
                axes.set_xlabel("optimizer step" if quantity == list(ALONG)[-1] else "")
                _along(axes, of_quantity, arms)
            else:
                title, label, below = BY_PLACE[quantity]
                axes.set_xlabel(below)
                _by_place(axes, of_quantity, here[here["quantity"] == f"{quantity}_chance"], arms)
            _decorate(axes, quantity, of_quantity)
            axes.set_ylabel(label if column == 0 else "")
            case = f"{model}, {task}" if several else task
            letter(axes, row * len(cases) + column, case if column else f"{case}: {title}")
    legend(canvas, 3)
    return canvas


def _along(axes: Axes, rows: pd.DataFrame, arms: list[str]) -> None:
    for index, name in enumerate(arms):
        own = rows[rows["arm"] == name].sort_values("look")
        if not own.empty:
            line(axes, index, own["step"], own["mean"], (own["lowest"], own["highest"]), label=name)
    axes.set_xlim(-0.03 * rows["step"].max(), 1.03 * rows["step"].max())  # an oracle's answer begins later


def _by_place(axes: Axes, rows: pd.DataFrame, chance: pd.DataFrame, arms: list[str]) -> None:
    """Over all ends of links, of which a chain of three has two with angles."""
    for index, name in enumerate(arms):
        own = rows[rows["arm"] == name].groupby("place").agg({"mean": "mean", "lowest": "min", "highest": "max"})
        if not own.empty:
            line(axes, index, own.index.to_series(), own["mean"], (own["lowest"], own["highest"]), label=name)
    if not chance.empty:
        mean = chance.groupby("place")["mean"].mean()
        axes.plot(mean.index, mean, color=REFERENCE, linestyle=":", label="random spaces")


def _decorate(axes: Axes, quantity: str, rows: pd.DataFrame) -> None:
    """Scales and references."""
    values = rows["mean"].dropna()
    positive = values[values > 0]
    if quantity in ("gap", "spectrum", "perplexity") and positive.max() > 10 * positive.min():
        axes.set_yscale("log")
        axes.yaxis.set_minor_formatter(NullFormatter())  # over few decades they would be written over one another
    if quantity == "share":
        axes.axhline(1, color=REFERENCE, linestyle="--", label="gains nothing")
    elif quantity == "perplexity":
        before = rows.loc[rows["when"] == "start", "mean"].mean()
        axes.axhline(before, color=REFERENCE, linestyle="-.", label="before fine-tuning")
    elif quantity == "intruders":
        axes.set_ylim(bottom=0, top=None if values.any() else 1)
    elif quantity.startswith("angles"):
        axes.set(ylim=(0, 93), yticks=(0, 30, 60, 90))


def caption(frame: pd.DataFrame) -> str:
    names = " and ".join(
        f"{model} in {dtype}" for model, dtype in sorted(set(zip(frame["model"], frame["dtype"], strict=True)))
    )
    ranks = frame[frame["quantity"] == "rank"].sort_values("look").groupby(["model", "task", "arm"])["mean"].last()
    ranks = ranks.groupby("arm").mean()
    said = ", ".join(f"{name} {ranks[name]:.1f}" for name in in_order(ranks.index))
    rates = ", ".join(f"{rate:g}" for rate in sorted(frame["learning_rate"].unique()))
    return (
        f"Inside chains of {names}, {span(frame['draws'])} draws, learning rates {rates} (chosen on dev where several "
        "were tried): means over the adapted layers and the draws, bands the whole range over draws. Looks are at the "
        "start, at every epoch's end, and before and after every knot, which share a step. The gap is that of the "
        "training loss on a fixed sample, over nuclear-norm balls round the pre-trained weights, layer by layer as "
        "large as the largest delta of any run of the task. A link as an oracle: its update so far, scaled to the "
        "ball's boundary, against the best vertex for the gradient that the link began at; 0 is exact, 1 gains "
        "nothing, and the epsilon of equation (1) is this share times radius times largest singular value. Effective "
        f"rank is the entropy's exponential; singular values above 1 % of the first at the end: {said}. Intruders are "
        "leading left singular vectors of the merged weight with no cosine of 0.5 with any of the original "
        "(Shuttleworth et al. 2024). Angles are between a link and the one before it, at its end."
    )


ANATOMY = Figure(
    "anatomy", "Gap, spectrum, angles, intruders and forgetting along chains", "anatomy", table, draw, caption
)
