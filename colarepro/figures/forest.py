"""COLA against LoRA, task by task: the paper's headline."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure as Canvas

from colarepro.figures.arms import setting, span, tasks_in_order
from colarepro.figures.compared import MEAN, compared, forest
from colarepro.figures.curves import legend
from colarepro.figures.figure import Figure
from colarepro.figures.known import reported
from colarepro.figures.style import WIDTH, letter
from colarepro.results import Record

PAIRS = (("cola, length 2", "lora"), ("cola, length 3", "lora"))
EPOCHS = {"best epoch": "test", "last epoch": "test_last"}
"""Which answers of a record are judged."""


def table(records: Sequence[Record]) -> pd.DataFrame:
    """COLA minus LoRA by chain length, judged epoch and task, with the gain that the paper reports on OPT-1.3B."""
    frames = [compared(records, PAIRS, split).assign(epoch=epoch) for epoch, split in EPOCHS.items()]
    frame = pd.concat(frames, ignore_index=True)
    if not frame.empty:
        gains = reported().of(source="cola", quantity="gain", model="OPT-1.3B").set_index("task")
        frame["reported"] = frame["task"].map(gains["value"].astype(float))
        frame["certainty"] = frame["task"].map(gains["certainty"])
    return frame


def draw(frame: pd.DataFrame) -> Canvas:
    panels_wanted = list(frame.groupby(["epoch", "first"], sort=False))
    tasks = tasks_in_order(set(frame["task"]) - {MEAN})
    canvas, panels = plt.subplots(
        1, len(panels_wanted), figsize=(WIDTH, 1.1 + 0.26 * len(tasks)), sharex=True, sharey=True, squeeze=False
    )
    for number, (axes, ((epoch, first), rows)) in enumerate(zip(panels[0], panels_wanted, strict=True)):
        forest(axes, rows, tasks)
        for sure, style in (("certain", {"color": "black"}), ("from memory", {"color": "0.55"})):
            own = rows[(rows["certainty"] == sure) | ((sure != "certain") & (rows["certainty"] == "doubtful"))]
            axes.plot(
                own["reported"], [tasks.index(task) for task in own["task"]], "|", markersize=11, markeredgewidth=2,
                label=f"reported, {sure}", **style,
            )  # fmt: skip
        axes.set_xlabel("COLA - LoRA (points)")
        letter(axes, number, f"{str(first).removeprefix('cola, ')},\n{epoch}")
    legend(canvas, 2)
    return canvas


def caption(frame: pd.DataFrame) -> str:
    parts = []
    for (epoch, first), rows in frame[frame["task"] == MEAN].groupby(["epoch", "first"], sort=False):
        mean = rows.iloc[0]
        parts.append(
            f"{str(first).removeprefix('cola, ')}, {epoch}: {mean['difference']:+.2f} [{mean['low']:+.2f}, "
            f"{mean['high']:+.2f}]"
        )
    return (
        f"Test accuracy of COLA minus LoRA: {setting(frame)}, {span(frame['draws'])} draws, each at its learning rate "
        "chosen on dev, with 95 % intervals over draws and test items together. Diamonds: the mean over tasks"
        f"{' (' + '; '.join(parts) + ')' if parts else ''}. Best epoch: the model of the least dev loss, as in the "
        "paper's protocol, which may come before the knot; last epoch: all links, whatever dev says. Upright bars: "
        "the gains that the paper reports on OPT-1.3B, grey where they are from memory (MultiRC's is doubtful)."
    )


FOREST = Figure("forest", "COLA against LoRA", "llm", table, draw, caption)
