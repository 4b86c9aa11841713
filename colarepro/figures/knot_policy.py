"""Where the knot lies, and what it does to the learning rate and to A."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure as Canvas

from colarepro.figures.arms import chosen, setting, span, spread, task_panels, tasks_in_order
from colarepro.figures.curves import legend, mark
from colarepro.figures.figure import Figure
from colarepro.results import Record

POLICY = r"^cola, knot (?P<knot>[\d.]+)(?P<rate>, restart LR)?(?P<start>, same A)?$"


def table(records: Sequence[Record]) -> pd.DataFrame:
    """Mean, standard deviation and range over draws of the test accuracy of chains of two links at the learning rate
    chosen on dev, by task, the knot's epoch and the policy; knot 0 is LoRA."""
    runs = chosen(records)
    if runs.empty:
        return runs
    parts = runs["arm"].str.extract(POLICY)
    policy = (
        parts["rate"].map({", restart LR": "restart"}).fillna("continue")
        + ", "
        + parts["start"].map({", same A": "same A"}).fillna("fresh A")
    )
    runs = runs.assign(knot=parts["knot"].astype(float), policy=policy)
    if not runs["knot"].notna().any():
        return pd.DataFrame()
    tasks = runs.loc[runs["knot"].notna(), "task"].unique()
    lora = runs["arm"] == "lora"
    runs = runs.assign(knot=runs["knot"].mask(lora, 0), policy=runs["policy"].mask(lora, "LoRA"))
    return spread(runs[runs["task"].isin(tasks)].dropna(subset="knot"), ["task", "policy", "knot"])


def draw(frame: pd.DataFrame) -> Canvas:
    canvas, panels = task_panels(tasks_in_order(frame["task"]), height=2.1, columns=3)
    policies = sorted(set(frame["policy"]) - {"LoRA"})
    knots = sorted(set(frame["knot"]) - {0})
    for task, axes in panels.items():
        here = frame[frame["task"] == task]
        for index, policy in enumerate(policies):
            rows = here[here["policy"] == policy].sort_values("knot")
            x = rows["knot"] + 0.1 * (index - (len(policies) - 1) / 2)
            axes.errorbar(
                x, 100 * rows["mean"], yerr=100 * rows["sd"], capsize=2, elinewidth=0.8, label=policy, **mark(index)
            )
        for _, row in here[here["policy"] == "LoRA"].iterrows():
            axes.axhline(100 * row["mean"], color="black", linewidth=1, label="LoRA")
        axes.set(xticks=knots, xlabel="knot after epoch")
        place = axes.get_subplotspec()
        if place is not None and place.is_first_col():
            axes.set_ylabel("test accuracy (%)")
    legend(canvas, 5)
    return canvas


def caption(frame: pd.DataFrame) -> str:
    return (
        f"Chains of two links in five epochs, by the place of the knot: {setting(frame)}, {span(frame['draws'])} "
        "draws. The learning rate goes on at the knot or restarts, and the second link draws a fresh A or starts from "
        "the first link's; the peak learning rate is chosen on dev for each point. Means, bars are standard deviations "
        "over draws; the line is LoRA. The paper leaves all three open."
    )


KNOT_POLICY = Figure("knot-policy", "Knot policy", "llm", table, draw, caption)
