"""The paper's Table 1, with every control: test accuracy by task and arm."""

from collections.abc import Sequence

import pandas as pd

from colarepro.figures.arms import chosen, in_order, is_ablation, model_name, setting, span, spread, tasks_in_order
from colarepro.figures.figure import Figure
from colarepro.figures.known import reported
from colarepro.ledger.evidence import TASKS
from colarepro.results import Record

OURS = "measured"


def table(records: Sequence[Record]) -> pd.DataFrame:
    """Accuracy in per cent by task and arm: what the paper reports on OPT-1.3B with its certainty, and the mean and
    standard deviation over draws of our runs at the learning rate chosen on dev."""
    runs = chosen(records)
    if runs.empty:
        return runs
    return pd.concat([reported_in("Table 1"), measured(runs)], ignore_index=True)


def reported_in(where: str) -> pd.DataFrame:
    """The accuracies of one of the paper's tables, in per cent, with their certainty."""
    rows = reported().of(source="cola", quantity="accuracy", where=where)
    return rows[["model", "task", "arm", "value", "certainty"]].rename(columns={"value": "mean"})


def measured(runs: pd.DataFrame) -> pd.DataFrame:
    """The accuracies of these runs in per cent, without arms that move the knot."""
    ours = spread(runs[~is_ablation(runs["arm"])], ["task", "arm"]).assign(certainty=OURS)
    for name in ("mean", "sd", "lowest", "highest", "majority"):
        ours[name] *= 100
    return ours


def draw(frame: pd.DataFrame) -> pd.DataFrame:
    ours = frame[frame["certainty"] == OURS]
    tasks = tasks_in_order([*TASKS, *ours["task"]])
    rows = []
    for (model, arm), own in frame[frame["certainty"] != OURS].groupby(["model", "arm"], sort=False):
        cells = {row["task"]: _reported_cell(row) for _, row in own.iterrows()}
        sure = "reported" if (own["certainty"] == "certain").all() else "reported, from memory"
        rows.append(_row(f"{model}, {sure}", str(arm), cells, tasks, "-"))
    if not ours.empty:
        rows += _ours(ours, tasks)
    texts = pd.DataFrame(rows)
    return texts.assign(model=texts["model"].mask(texts["model"] == texts["model"].shift(), ""))


def _ours(ours: pd.DataFrame, tasks: list[str]) -> list[dict[str, str]]:
    """The arms in order, and the majority class last."""
    model, everywhere, rows = model_name(ours), ours["task"].nunique(), []
    for arm in in_order(ours["arm"]):
        own = ours[ours["arm"] == arm]
        cells = {row["task"]: _cell(row) for _, row in own.iterrows()}
        mean = f"{own['mean'].mean():.1f}" if len(own) == everywhere else "-"
        rows.append(_row(model, arm, cells, tasks, mean))
    majority = ours.groupby("task")["majority"].mean()
    cells = {str(task): f"{value:.1f}" for task, value in majority.items()}
    return [*rows, _row(model, "majority class", cells, tasks, f"{majority.mean():.1f}")]


def _row(model: str, arm: str, cells: dict[str, str], tasks: list[str], mean: str) -> dict[str, str]:
    return {"model": model, "arm": arm} | {task: cells.get(task, "-") for task in tasks} | {"mean": mean}


def _reported_cell(row: pd.Series) -> str:
    return f"{row['mean']:.2f}" + ("?" if row["certainty"] == "doubtful" else "")


def _cell(row: pd.Series) -> str:
    """A single draw has no deviation."""
    return f"{row['mean']:.1f}" + (f" ± {row['sd']:.1f}" if row["draws"] > 1 else "")


def caption(frame: pd.DataFrame) -> str:
    ours = frame[frame["certainty"] == OURS]
    counts = ours.drop_duplicates("task").set_index("task")["test_examples"]
    items = ", ".join(f"{task} {counts[task]:.0f}" for task in tasks_in_order(counts.index))
    return (
        "Test accuracy in per cent. Reported: the paper's Table 1 on OPT-1.3B, means of five runs, quoted from memory "
        "and not checked against the paper (its deviations could not be recovered; '?': the number fits no mean of "
        f"five runs on 1000 answers). Below, measured: {setting(ours)}, another model, so levels are not comparable; "
        f"means ± standard deviations over {span(ours['draws'])} draws at the learning rate chosen on dev for each "
        f"task and arm, judged at the epoch of the least dev loss; test items: {items}. '-': not run, and no mean over "
        "tasks where one is missing."
    )


TABLE_1 = Figure("table-1", "Table 1: accuracy by task and arm", "llm", table, draw, caption)
