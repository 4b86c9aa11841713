"""Arms compared task by task, as forest plots draw it."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes

from colarepro.errors import ColaError
from colarepro.figures.arms import SETTING, chosen, tasks_in_order
from colarepro.figures.curves import PALETTE
from colarepro.figures.known import pools
from colarepro.figures.style import REFERENCE
from colarepro.results import Comparison, Record, average, compare

MEAN = "mean of tasks"


def compared(records: Sequence[Record], pairs: Sequence[tuple[str, str]], split: str = "test") -> pd.DataFrame:
    """First arm minus second in points of test accuracy at the learning rates chosen on dev, with the 95 % interval,
    by pair and task; and the mean over tasks. ``split`` as in `compare`. Pairs of which an arm was not run are left
    out."""
    runs = chosen(records)
    if runs.empty:
        return runs
    by_identity = {record.identity: record for record in records}
    arms = {key: [by_identity[name] for name in own["identity"]] for key, own in runs.groupby(["arm", "task"])}
    arms = {key: own for key, own in arms.items() if all(split in record.predictions for record in own)}
    rows = []
    for first, second in pairs:
        tasks = [task for task in tasks_in_order(runs["task"]) if (first, task) in arms and (second, task) in arms]
        found = {task: _compare(arms[first, task], arms[second, task], split) for task in tasks}
        if len(found) > 1:
            found[MEAN] = average(list(found.values()))
        for task, comparison in found.items():
            rows.append(
                {
                    **runs[SETTING].iloc[0].to_dict(),
                    "first": first,
                    "second": second,
                    "task": task,
                    "difference": comparison.difference,
                    "low": comparison.low,
                    "high": comparison.high,
                    "detectable": comparison.detectable(),
                    "draws": comparison.draws,
                    "items": comparison.items,
                    "answers": comparison.answers,
                }
            )
    return pd.DataFrame(rows)


def _compare(first: Sequence[Record], second: Sequence[Record], split: str) -> Comparison:
    """Without flips: the permutation test's p belongs to the ledger of claims. Records whose labels contradict the
    known pools are of other data under a task's name; there every draw counts as items of its own."""
    try:
        return compare(first, second, pools(), split, flips=0)
    except ColaError:
        return compare(first, second, None, split, flips=0)


def forest(axes: Axes, rows: pd.DataFrame, tasks: Sequence[str], place: int = 0) -> None:
    """Differences with their intervals, a line a task from the top, the mean over tasks below and apart."""
    heights = {task: float(index) for index, task in enumerate(tasks)} | {MEAN: len(tasks) + 0.3}
    for _, row in rows.iterrows():
        is_mean = row["task"] == MEAN
        axes.errorbar(
            row["difference"],
            heights[row["task"]],
            xerr=[[row["difference"] - row["low"]], [row["high"] - row["difference"]]],
            color="black" if is_mean else PALETTE[place],
            marker="D" if is_mean else "o",
            capsize=2,
        )
    axes.axvline(0, color=REFERENCE, linewidth=0.8)
    axes.set_yticks(list(heights.values()), list(heights))
    axes.set_ylim(len(tasks) + 0.9, -0.6)
    axes.grid(visible=False, axis="y")
