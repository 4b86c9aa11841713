"""What training costs, by arm, against LoRA."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure as Canvas

from colarepro.figures.arms import SETTING, in_order, is_ablation, mark, span
from colarepro.figures.curves import legend
from colarepro.figures.figure import Figure
from colarepro.figures.style import REFERENCE, WIDTH, letter
from colarepro.results import Record, runs_table

PANELS = {
    "parameters_trained": ("trained at once", "parameters / LoRA's"),
    "flops_per_token": ("FLOPs by formula", "a token / LoRA's"),
    "seconds_per_1000_tokens": ("time", "a token / LoRA's"),
    "gigabytes": ("memory", "peak / LoRA's"),
}
"""Titles and axes."""
WHERE = [*SETTING, "device", "shared", "commit"]
"""A cost depends on the code, too, so an arm is compared with the LoRA of its own."""


def table(records: Sequence[Record]) -> pd.DataFrame:
    """Means over all finished runs that trained, by `WHERE`, task and arm; padding counts as tokens, since it is
    computed. A run that shared its base has an equal part of the seconds and memory."""
    runs = runs_table(records)
    if runs.empty or "flops_train" not in runs:
        return pd.DataFrame()
    runs = runs[(runs["status"] == "done") & runs["flops_train"].notna()]
    fed = runs["tokens"] / (1 - runs["padding_share"])
    together = runs["fleet"].fillna(1) if "fleet" in runs else 1
    runs = runs.assign(
        shared=together > 1,
        flops_per_token=runs["flops_train"] / fed,
        seconds_per_1000_tokens=1000 * runs["seconds_train"] / fed,
        gigabytes=runs["peak_bytes"] / 1e9 / together,
    )
    grouped = runs.groupby([*WHERE, "task", "arm"])
    return grouped[list(PANELS)].mean().assign(runs=grouped.size()).reset_index()


def against_lora(frame: pd.DataFrame) -> pd.DataFrame:
    """Every cost over LoRA's on the same task, machine and commit, mean over tasks, by `WHERE` and arm."""
    quantities = list(PANELS)
    lora = frame[frame["arm"] == "lora"]
    both = frame.merge(lora, on=[*WHERE, "task"], suffixes=("", "_lora"))
    both[quantities] = both[quantities] / both[[f"{name}_lora" for name in quantities]].to_numpy()
    return both.groupby([*WHERE, "arm"], sort=False)[quantities].mean().reset_index()


def draw(frame: pd.DataFrame) -> Canvas:
    frame = frame[~is_ablation(frame["arm"]) | frame["arm"].str.contains("ranks")]
    relative = against_lora(frame)
    arms = in_order(relative["arm"])
    canvas, panels = plt.subplots(1, len(PANELS), figsize=(WIDTH, 1.1 + 0.17 * len(arms)), sharey=True)
    for number, (axes, (quantity, (title, label))) in enumerate(zip(panels, PANELS.items(), strict=True)):
        for index, ((model, dtype, _, device, shared, commit), rows) in enumerate(relative.groupby(WHERE, sort=False)):
            name = f"{model}, {dtype}, {device}, {'sharing its base' if shared else 'alone'}"
            name += f", at {commit}" if commit else ""
            axes.plot(rows[quantity], [arms.index(arm) for arm in rows["arm"]], label=name, **mark(index))
        axes.axvline(1, color=REFERENCE, linewidth=0.8)
        axes.set(xlabel=label, ylim=(len(arms) - 0.5, -0.5))
        if quantity == "parameters_trained":
            axes.set_xscale("log")
        else:
            axes.set_xlim(0, max(1.2, 1.1 * relative[quantity].max()))
        axes.set_yticks(range(len(arms)), arms)
        letter(axes, number, title)
    legend(canvas, 1)
    return canvas


def caption(frame: pd.DataFrame) -> str:
    lora = frame[frame["arm"] == "lora"].groupby(WHERE)[list(PANELS)].mean().reset_index()
    levels = "; ".join(
        f"{row['model']}, {row['dtype']}{', at ' * bool(row['commit'])}{row['commit']}: "
        f"{row['parameters_trained']:,.0f} parameters, {row['flops_per_token']:.3g} FLOPs a token, "
        f"{row['seconds_per_1000_tokens']:.2g} s a 1000 tokens, {row['gigabytes']:.2g} GB"
        for _, row in lora.iterrows()
    )
    return (
        "Cost of training against LoRA's on the same task, machine and commit, means over tasks; "
        f"{span(frame['runs'])} runs a task and arm. LoRA itself: {levels}. FLOPs: 4 a token for every weight in a "
        "matrix product, 2 more where it is trained, and attention's products. Seconds include the evaluations after "
        "every epoch, what a process compiles for the first fleet that it has, and whatever else the machine was doing"
        f"{'; runs that shared a base have an equal part of seconds and memory' if frame['shared'].any() else ''}."
    )


COST = Figure("cost", "Cost", "llm", table, draw, caption)
