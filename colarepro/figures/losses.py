"""Training loss across knots."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure as Canvas

from colarepro.figures.arms import chosen, setting, span, task_panels, tasks_in_order
from colarepro.figures.curves import legend
from colarepro.figures.figure import Figure
from colarepro.figures.style import COLOURS, LINES
from colarepro.results import Record

ARMS = ("lora", "cola, length 2", "cola, length 3")
WINDOW = 25  # steps averaged, since single batches of eight say little
EVERY = 5  # steps drawn


def table(records: Sequence[Record]) -> pd.DataFrame:
    """Training loss in nats, running mean over `WINDOW` steps; mean and range over the draws at the learning rate
    chosen on dev, by task, arm and step, and whether the arm ties a knot within the `EVERY` steps that end there."""
    runs = chosen(records)
    if runs.empty:
        return runs
    curves = {record.identity: record.curves for record in records}
    frames = []
    for (task, arm), own in runs[runs["arm"].isin(ARMS)].groupby(["task", "arm"]):
        losses = pd.DataFrame([curves[identity]["loss"] for identity in own["identity"]], dtype=float).T
        smooth = losses.rolling(WINDOW, min_periods=WINDOW).mean()
        smooth.index += 1  # steps count from 1
        frame = smooth.agg(["mean", "min", "max"], axis=1).loc[WINDOW::EVERY]
        knots = curves[own["identity"].iloc[0]]["knots"]
        frame["knot"] = [any(step - EVERY < knot <= step for knot in knots) for step in frame.index]
        frame = frame.rename_axis("step").reset_index()
        first = own.iloc[0]
        places = {"model": first["model"], "dtype": first["dtype"], "task": task, "arm": arm}
        frames.append(frame.assign(**places, learning_rate=first["learning_rate"], draws=len(own)))
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def draw(frame: pd.DataFrame) -> Canvas:
    canvas, panels = task_panels(tasks_in_order(frame["task"]))
    for task, axes in panels.items():
        for index, arm in enumerate(ARMS, start=1):
            rows = frame[(frame["task"] == task) & (frame["arm"] == arm)]
            if rows.empty:
                continue
            style = {"color": COLOURS[index], "linestyle": LINES[index - 1]}
            axes.plot(rows["step"], rows["mean"], label=arm, **style)
            axes.fill_between(rows["step"], rows["min"], rows["max"], color=COLOURS[index], alpha=0.15, linewidth=0)
            knots = rows[rows["knot"]]
            axes.plot(knots["step"], knots["mean"], "o", color=COLOURS[index], markeredgecolor="black", markersize=4)
        place = axes.get_subplotspec()
        if place is not None and place.is_first_col():
            axes.set_ylabel("training loss (nats)")
        axes.set(xlabel="optimizer step", ylim=(0, None))
    next(iter(panels.values())).plot([], [], "o", color="white", markeredgecolor="black", markersize=4, label="knot")
    legend(canvas, columns=4)
    return canvas


def caption(frame: pd.DataFrame) -> str:
    return (
        f"Training loss across knots, running mean over {WINDOW} steps: {setting(frame)}, "
        f"{span(frame['draws'])} draws at the learning rate chosen on dev for each arm and task, which may differ "
        "between arms (the CSV names them). Lines are means over draws, bands their whole range; at a dot the chain "
        "merges its link and starts the next."
    )


LOSSES = Figure("losses", "Loss curves across knots", "llm", table, draw, caption)
