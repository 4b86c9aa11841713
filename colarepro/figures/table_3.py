"""The paper's Table 3: training FLOPs by the second link's rank."""

from collections.abc import Sequence

import pandas as pd

from colarepro.figures.arms import SETTING, campaign, in_order, setting, span, tasks_in_order
from colarepro.figures.figure import Figure
from colarepro.figures.rank_step_down import STEP_DOWN
from colarepro.results import Record

COUNTS = {"formula": "flops_train", "counted": "flops_train_counted"}


def table(records: Sequence[Record]) -> pd.DataFrame:
    """FLOPs of a run by formula and as PyTorch counts them, means over all finished runs, by task and arm, and their
    excess over LoRA's on the same task in per cent."""
    runs = campaign(records)
    if runs.empty or not runs["arm"].str.fullmatch(STEP_DOWN).any():
        return pd.DataFrame()
    wanted = runs["arm"].str.fullmatch(STEP_DOWN) | runs["arm"].isin(["lora", "cola, length 2"])
    grouped = runs[wanted & (runs["status"] == "done")].groupby([*SETTING, "task", "arm"], sort=False)
    frame = grouped[[*COUNTS.values(), "parameters_trained"]].mean().assign(runs=grouped.size()).reset_index()
    for name, column in COUNTS.items():
        lora = frame[frame["arm"] == "lora"].set_index("task")[column]
        frame[f"{name}_excess"] = 100 * (frame[column] / frame["task"].map(lora) - 1)
    return frame


def draw(frame: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for arm in in_order(frame["arm"]):
        own = frame[frame["arm"] == arm]
        row = {"arm": arm, "reported": "not recovered", "trained at first": f"{own['parameters_trained'].mean():,.0f}"}
        for name, column in COUNTS.items():
            least, most = own[column].min() / 1e12, own[column].max() / 1e12
            row[f"TFLOPs, {name}"] = f"{least:.3g} to {most:.3g}"
            row[f"against LoRA, {name}"] = "-" if arm == "lora" else f"{own[f'{name}_excess'].mean():+.2f} %"
        rows.append(row)
    return pd.DataFrame(rows)


def caption(frame: pd.DataFrame) -> str:
    stepped = frame[frame["arm"].str.fullmatch(STEP_DOWN)]
    blind = stepped.groupby("task")["counted_excess"].nunique().max() == 1 < stepped["arm"].nunique()
    return (
        f"Training FLOPs of a run: {setting(frame)}, {span(frame['runs'])} runs a task and arm; the range over "
        f"{', '.join(tasks_in_order(frame['task']))}, whose prompts differ in length, and the mean difference to LoRA "
        "of rank 8 on the same task. Knot 3 with ranks 8-r: rank 8 for three epochs, then r for two. The paper's "
        "numbers could not be recovered; it says that a lower second rank takes less."
        + (" PyTorch's count is of the first link and does not see the second one's rank." if blind else "")
    )


TABLE_3 = Figure("table-3", "Table 3: FLOPs by second rank", "llm", table, draw, caption)
