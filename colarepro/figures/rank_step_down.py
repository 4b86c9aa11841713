"""The paper's Figure 3: a second link of smaller rank."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure as Canvas

from colarepro.figures.arms import chosen, setting, span, spread, task_panels, tasks_in_order
from colarepro.figures.curves import legend, mark
from colarepro.figures.figure import Figure
from colarepro.figures.style import REFERENCE
from colarepro.results import Record

STEP_DOWN = r"cola, knot 3, ranks 8-(\d+)"


def table(records: Sequence[Record]) -> pd.DataFrame:
    """Mean, standard deviation and range over draws of the test accuracy at the learning rate chosen on dev, by task
    and the second link's rank; 0 is LoRA of rank 8 without a second link."""
    runs = chosen(records)
    if runs.empty:
        return runs
    rank = runs["arm"].str.extract(STEP_DOWN)[0].where(runs["arm"] != "lora", "0").astype(float)
    if not (rank > 0).any():
        return pd.DataFrame()
    runs = runs.assign(second_rank=rank).dropna(subset="second_rank").astype({"second_rank": int})
    tasks = runs.loc[runs["second_rank"] > 0, "task"].unique()
    return spread(runs[runs["task"].isin(tasks)], ["task", "second_rank"])


def draw(frame: pd.DataFrame) -> Canvas:
    canvas, panels = task_panels(tasks_in_order(frame["task"]))
    ranks = sorted(frame.loc[frame["second_rank"] > 0, "second_rank"].unique())
    for task, axes in panels.items():
        here = frame[frame["task"] == task].sort_values("second_rank")
        rows, lora = here[here["second_rank"] > 0], here[here["second_rank"] == 0]
        axes.errorbar(
            rows["second_rank"],
            100 * rows["mean"],
            yerr=100 * rows["sd"],
            capsize=2,
            label="chain of two, rank 8 then this",
            **mark(0),
        )
        for _, row in lora.iterrows():
            axes.axhline(100 * row["mean"], label="LoRA of rank 8", **mark(1) | {"marker": ""})
            ends = 100 * (row["mean"] - row["sd"]), 100 * (row["mean"] + row["sd"])
            axes.axhspan(*ends, color=mark(1)["color"], alpha=0.12, linewidth=0)
        axes.axhline(100 * here["majority"].mean(), color=REFERENCE, linestyle=":", label="majority class")
        axes.set(xticks=ranks, xlim=(ranks[0] - 1, ranks[-1] + 1), xlabel="rank of the second link")
        place = axes.get_subplotspec()
        if place is not None and place.is_first_col():
            axes.set_ylabel("test accuracy (%)")
    legend(canvas, 3)
    return canvas


def caption(frame: pd.DataFrame) -> str:
    lora = frame[frame["second_rank"] == 0].set_index("task")["mean"]
    chains = frame[frame["second_rank"] > 0]
    compared = chains[chains["task"].isin(lora.index)]
    above = (compared["mean"] > compared["task"].map(lora)).sum()
    return (
        f"Rank 8 for three epochs, then the rank on the axis for two: {setting(frame)}, {span(frame['draws'])} draws, "
        "learning rate chosen on dev for each point. Markers and the line are means, bars and the band standard "
        f"deviations over draws. {above} of {len(compared)} points lie above LoRA; the paper says all but one, on "
        "three tasks whose names and numbers could not be recovered."
    )


RANK_STEP_DOWN = Figure("rank-step-down", "Figure 3: rank step-down", "llm", table, draw, caption)
