"""COLA against every control, task by task."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure as Canvas

from colarepro.figures.arms import setting, span, tasks_in_order
from colarepro.figures.compared import MEAN, compared, forest
from colarepro.figures.figure import Figure
from colarepro.figures.style import WIDTH, letter
from colarepro.results import Record

COLA = "cola, length 2"
CONTROLS = {
    "lora-restart, length 2": "restart, no merge",
    "lora-rank-sum, length 2": "one LoRA, rank 16",
    "cola, length 2, same A": "the same A",
    "relora, length 2": "ReLoRA",
    "rac-lora, length 2": "RAC-LoRA",
    "asym-lora": "asymmetric LoRA",
    "full": "full fine-tuning",
    "linear-probe": "linear probe",
    "zero-shot": "zero-shot",
}
"""Arms, and what they are called in a panel's title."""
COLUMNS = 3


def table(records: Sequence[Record]) -> pd.DataFrame:
    """COLA of two links minus each control by task."""
    return compared(records, [(COLA, control) for control in CONTROLS])


def draw(frame: pd.DataFrame) -> Canvas:
    tasks = tasks_in_order(set(frame["task"]) - {MEAN})
    controls = [control for control in CONTROLS if control in set(frame["second"])]
    rows = -(-len(controls) // COLUMNS)
    canvas, panels = plt.subplots(
        rows, COLUMNS, figsize=(WIDTH, rows * (0.6 + 0.19 * len(tasks))), sharey=True, squeeze=False
    )
    for axes in panels.flat[len(controls) :]:
        axes.set_visible(False)
    for number, (axes, control) in enumerate(zip(panels.flat, controls, strict=False)):
        forest(axes, frame[frame["second"] == control], tasks)
        if number >= len(controls) - COLUMNS:
            axes.set_xlabel("COLA - control (points)")
        letter(axes, number, CONTROLS[control])
    return canvas


def caption(frame: pd.DataFrame) -> str:
    missing = [name for control, name in CONTROLS.items() if control not in set(frame["second"])]
    means = frame[frame["task"] == MEAN]
    told = "; ".join(
        f"{CONTROLS[row['second']]} {row['difference']:+.2f} [{row['low']:+.2f}, {row['high']:+.2f}]"
        for _, row in means.iterrows()
    )
    return (
        f"Test accuracy of COLA with two links minus each control: {setting(frame)}, {span(frame['draws'])} draws, "
        "each at its learning rate chosen on dev, judged at the epoch of the least dev loss. Bars are 95 % intervals "
        f"over draws and test items together; diamonds are the means over tasks{' (' + told + ')' if told else ''}."
        + (f" Not run: {', '.join(missing)}." if missing else "")
    )


CONTROLS_FIGURE = Figure("controls", "COLA against the controls", "llm", table, draw, caption)
