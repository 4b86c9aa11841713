"""The paper's Figure 2: test accuracy against chain length."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure as Canvas

from colarepro.figures.arms import CHAIN, chosen, setting, span, spread, task_panels, tasks_in_order
from colarepro.figures.curves import legend, mark
from colarepro.figures.figure import Figure
from colarepro.figures.style import REFERENCE
from colarepro.results import Record

SERIES = ("chain", "one LoRA of the links' summed rank")
LAST = "chain, after the last epoch"
SUMMED = {"lora-rank-sum, length 2": 2, "lora-rank-sum, length 3": 3}


def table(records: Sequence[Record]) -> pd.DataFrame:
    """Mean, standard deviation and range over draws of the test accuracy at the learning rate chosen on dev, by task
    and chain length; the same after the last epoch, whatever dev says; and of one LoRA of as many ranks."""
    frames = []
    runs = chosen(records)
    for series, lengths, score in (
        (SERIES[0], CHAIN, "test_accuracy"),
        (LAST, CHAIN, "test_accuracy_last"),
        (SERIES[1], SUMMED, "test_accuracy"),
    ):
        if score in runs:
            own = runs.assign(series=series, length=runs["arm"].map(lengths)).dropna(subset=["length", score])
            frames.append(spread(own.astype({"length": int}), ["task", "series", "length"], score))
    return pd.concat(frames, ignore_index=True) if frames else runs


def draw(frame: pd.DataFrame) -> Canvas:
    canvas, panels = task_panels(tasks_in_order(frame["task"]))
    lengths = sorted(frame["length"].unique())
    for task, axes in panels.items():
        here = frame[frame["task"] == task]
        for index, series in enumerate((SERIES[0], LAST, SERIES[1])):
            rows = here[here["series"] == series].sort_values("length")
            if not rows.empty:
                x = rows["length"] + 0.14 * (index - 1)
                style = mark(index) | {"elinewidth": 0.8} | ({"linestyle": "none"} if series == SERIES[1] else {})
                axes.errorbar(x, 100 * rows["mean"], yerr=100 * rows["sd"], capsize=2, label=series, **style)
        axes.axhline(100 * here["majority"].mean(), color=REFERENCE, linestyle=":", label="majority class")
        axes.set(xticks=lengths, xlim=(lengths[0] - 0.5, lengths[-1] + 0.5))
    for axes in panels.values():
        place = axes.get_subplotspec()
        if place is not None and place.is_first_col():
            axes.set_ylabel("test accuracy (%)")
        axes.set_xlabel("chain length")
    legend(canvas, 4)
    return canvas


def describe(frame: pd.DataFrame) -> str:
    """What was run."""
    missing = [length for length in range(1, 7) if length not in set(frame["length"])]
    return (
        f"{setting(frame)}, {span(frame['draws'])} draws of the data, five epochs in all whatever the length, at the "
        "learning rate with the least mean dev loss for each task and length; length 1 is LoRA"
        + (f"; not run: length {', '.join(map(str, missing))}" if missing else "")
    )


def caption(frame: pd.DataFrame) -> str:
    return (
        f"Test accuracy against chain length: {describe(frame)}. Means, bars are standard deviations over draws. "
        "Judged at the epoch of the least dev loss, which may lie before a knot, and after the last epoch. The paper's "
        "Figure 2 has lengths 1 to 3 on OPT-1.3B; its numbers could not be recovered, its text says that the accuracy "
        "rises with the length for most tasks."
    )


CHAIN_LENGTH = Figure("chain-length", "Figure 2: accuracy against chain length", "llm", table, draw, caption)
