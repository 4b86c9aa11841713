"""Which epoch dev chooses, and whether the chosen model has more than its first link."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure as Canvas

from colarepro.figures.arms import chosen, in_order, is_ablation, setting, span, tasks_in_order
from colarepro.figures.figure import Figure
from colarepro.figures.style import WIDTH, letter
from colarepro.results import Record


def table(records: Sequence[Record]) -> pd.DataFrame:
    """Runs at the chosen learning rate by task, arm and best epoch (least dev loss); ``first_link_only``: the epoch
    ends at or before the first knot, so the chosen model is one that no later link has trained."""
    runs = chosen(records)
    if runs.empty or "best_step" not in runs:
        return pd.DataFrame()
    curves = {record.identity: record.curves for record in records}
    rows = []
    for _, run in runs.dropna(subset="best_step").iterrows():
        steps, knots = curves[run["identity"]]["dev_step"], curves[run["identity"]]["knots"]
        rows.append(
            {
                "model": run["model"],
                "dtype": run["dtype"],
                "task": run["task"],
                "arm": run["arm"],
                "learning_rate": run["learning_rate"],
                "epoch": steps.index(run["best_step"]) + 1,
                "epochs": len(steps),
                "first_knot": knots[0] / steps[0] if knots else np.nan,
                "first_link_only": run["best_step"] <= knots[0] if knots else None,
            }
        )
    frame = pd.DataFrame(rows)
    return frame.groupby(list(frame.columns), dropna=False, sort=False).size().rename("runs").reset_index()


def draw(frame: pd.DataFrame) -> Canvas:
    frame = frame[~is_ablation(frame["arm"])]
    arms, tasks = in_order(frame["arm"]), tasks_in_order(frame["task"])
    canvas, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 0.9 + 0.2 * len(arms)), width_ratios=(1, 1.15))
    by_epoch = frame.pivot_table(index="arm", columns="epoch", values="runs", aggfunc="sum", fill_value=0).loc[arms]
    share = 100 * by_epoch.div(by_epoch.sum(axis=1), axis=0)
    start = np.zeros(len(arms))
    shades = plt.colormaps["Blues"](np.linspace(0.15, 0.95, frame["epochs"].max()))
    for epoch, shade in enumerate(shades, start=1):
        if epoch in share:
            left.barh(arms, share[epoch], left=start, color=shade, edgecolor="white", label=f"epoch {epoch}")
            start = start + share[epoch].to_numpy()
    left.set(xlabel="share of the runs (%)", xlim=(0, 100), ylim=(len(arms) - 0.5, -0.5))
    left.grid(visible=False, axis="y")
    letter(left, 0, "best epoch, all tasks")
    _heat(right, _without_later_links(frame).reindex(index=arms, columns=tasks))
    letter(right, 1, "no later link in the chosen model (%)")
    canvas.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=5)
    return canvas


def _without_later_links(frame: pd.DataFrame) -> pd.DataFrame:
    """Share of the runs in per cent, arms by tasks, of arms with a knot."""
    knotted = frame.dropna(subset="first_knot")
    runs = knotted.pivot_table(index="arm", columns="task", values="runs", aggfunc="sum")
    without = knotted[knotted["first_link_only"].astype(bool)]
    return (
        100
        * without.pivot_table(index="arm", columns="task", values="runs", aggfunc="sum").reindex_like(runs).fillna(0)
        / runs
    )


def _heat(axes: plt.Axes, share: pd.DataFrame) -> None:
    axes.imshow(share, cmap="Blues", vmin=0, vmax=130, aspect="auto")
    for (row, column), value in np.ndenumerate(share.to_numpy(dtype=float)):
        axes.text(column, row, "" if np.isnan(value) else f"{value:.0f}", ha="center", va="center", fontsize=6.5)
    axes.set_xticks(range(share.shape[1]), share.columns)
    axes.set_yticks(range(share.shape[0]), [])
    axes.grid(visible=False)


def caption(frame: pd.DataFrame) -> str:
    per_cell = frame.groupby(["task", "arm"])["runs"].sum()
    parts = []
    for arm in ("cola, length 2", "cola, length 3"):
        own = frame[frame["arm"] == arm]
        if not own.empty:
            lost = own.loc[own["first_link_only"].astype(bool), "runs"].sum()
            parts.append(f"{lost} of {own['runs'].sum()} chosen models of the arm '{arm}'")
    return (
        f"The epoch of the least dev loss, whose model is judged, as in the paper's protocol: {setting(frame)}, "
        f"{span(per_cell)} draws a task and arm at the learning rate chosen on dev. (b) Share of the runs whose best "
        "epoch ends at or before the first knot (the restart, with lora-restart): of the chain only the first link is "
        f"in what is judged{', as in ' + ' and '.join(parts) if parts else ''}. Empty: arms without a knot."
    )


BEST_EPOCH = Figure("best-epoch", "The best epoch and the knot", "llm", table, draw, caption)
