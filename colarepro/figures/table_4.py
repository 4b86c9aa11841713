"""The paper's Table 4: mean and standard deviation by chain length."""

import pandas as pd

from colarepro.figures.arms import tasks_in_order
from colarepro.figures.chain_length import SERIES, describe, table
from colarepro.figures.figure import Figure


def draw(frame: pd.DataFrame) -> pd.DataFrame:
    chains = frame[frame["series"] == SERIES[0]]
    tasks = tasks_in_order(chains["task"])
    whole = chains.groupby("length")["task"].nunique() == len(tasks)  # else a mean would compare different tasks
    rows = []
    for length, here in chains.groupby("length"):
        cells = {row["task"]: f"{100 * row['mean']:.1f} ± {100 * row['sd']:.1f}" for _, row in here.iterrows()}
        mean = f"{100 * here['mean'].mean():.1f} ± {100 * here['sd'].mean():.1f}" if whole[length] else "-"
        rows.append({"length": length} | {task: cells.get(task, "not run") for task in tasks} | {"all tasks": mean})
    return pd.DataFrame(rows)


def caption(frame: pd.DataFrame) -> str:
    chains = frame[frame["series"] == SERIES[0]]
    sd = chains.pivot(index="task", columns="length", values="sd")
    counts = [
        f"length {length} on {(sd[length] < sd[1]).sum()} of {sd[[1, length]].dropna().shape[0]} tasks"
        for length in sd.columns.difference([1])
        if 1 in sd
    ]
    return (
        f"Test accuracy in per cent, mean ± standard deviation over draws: {describe(frame)}. The last column has the "
        "means over tasks of both numbers. The standard deviation is smaller than LoRA's with "
        f"{', '.join(counts) or 'no other length'}; the paper says smaller on most tasks. Its numbers could not be "
        "recovered."
    )


TABLE_4 = Figure("table-4", "Table 4: mean and deviation by chain length", "llm", table, draw, caption)
