"""Test accuracy of the language models by task and arm."""

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure as Canvas

from colarepro.figures.arms import in_order, mark, span
from colarepro.figures.figure import Figure
from colarepro.figures.style import REFERENCE, WIDTH, letter
from colarepro.results import Record, arm, settings


def table(records: Sequence[Record]) -> pd.DataFrame:
    """Mean and range over seeds of the test accuracy, a row for every model, task, arm and setting of it."""
    done = [record for record in records if record.status == "done"]
    place = {name: number for number, name in enumerate(in_order(map(arm, done)))}
    runs: dict[tuple[str, str, int, str], list[Record]] = {}
    for record in done:
        key = (record.config["model"], record.config["task"], place[arm(record)], settings(record))
        runs.setdefault(key, []).append(record)
    rows = []
    for (model, task, _, _), group in sorted(runs.items()):
        accuracies = [record.scores["test_accuracy"] for record in group]
        rows.append(
            {
                "model": model,
                "task": task,
                "arm": arm(group[0]),
                "learning_rate": group[0].config.get("learning_rate", np.nan),
                "seeds": len(group),
                "accuracy": sum(accuracies) / len(group),
                "lowest": min(accuracies),
                "highest": max(accuracies),
                "majority": sum(record.scores["test_majority"] for record in group) / len(group),
                "test_examples": len(group[0].predictions["test"]),
            }
        )
    return pd.DataFrame(rows)


def draw(frame: pd.DataFrame) -> Canvas:
    models = list(dict.fromkeys(frame["model"]))
    arms = in_order(frame["arm"])
    canvas, panels = plt.subplots(len(models), 1, figsize=(WIDTH, 0.5 + 2.3 * len(models)), squeeze=False)
    for number, (axes, model) in enumerate(zip(panels[:, 0], models, strict=True)):
        of_model = frame[frame["model"] == model]
        tasks = sorted(of_model["task"].unique())
        place = {task: float(position) for position, task in enumerate(tasks)}
        here = in_order(of_model["arm"])
        gap = min(0.18, 0.8 / len(here))
        for index, name in enumerate(here):
            rows = of_model[of_model["arm"] == name]
            axes.errorbar(
                [place[task] + gap * (index - (len(here) - 1) / 2) for task in rows["task"]],
                100 * rows["accuracy"],
                yerr=(100 * (rows["accuracy"] - rows["lowest"]), 100 * (rows["highest"] - rows["accuracy"])),
                capsize=2,
                label=name,
                **mark(arms.index(name)),
            )
        for task, share in of_model.groupby("task")["majority"].mean().items():
            axes.hlines(100 * share, place[str(task)] - 0.4, place[str(task)] + 0.4, color=REFERENCE, linestyle="--")
        axes.set(ylabel="test accuracy (%)", xticks=range(len(tasks)), xticklabels=tasks)
        axes.set_xlim(-0.6, max(len(tasks), 4) - 0.4)
        axes.grid(visible=False, axis="x")
        seeds = sorted(of_model["seeds"].unique())
        letter(axes, number, f"{model}, {' or '.join(map(str, seeds))} seed{'s' if seeds != [1] else ''} a point")
    handles: dict[str, Any] = {
        label: handle for axes in panels[:, 0] for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    shown = {name: handles[name] for name in arms}
    shown["majority class"] = plt.Line2D([], [], linestyle="--", color=REFERENCE)
    canvas.legend(list(shown.values()), list(shown), loc="outside lower center", ncols=4)
    return canvas


def caption(frame: pd.DataFrame) -> str:
    parts = []
    for model, rows in frame.groupby("model", sort=False):
        by_arm = rows.dropna(subset="learning_rate").groupby("arm")["learning_rate"].unique()
        rates = ", ".join(
            f"{name} {'/'.join(f'{rate:g}' for rate in sorted(by_arm[name]))}" for name in in_order(by_arm.index)
        )
        data = "the miniature tasks" if model == "tiny" else "the real tasks"
        parts.append(f"{model} on {data} (learning rates {rates}; {span(rows['seeds'])} seeds)")
    return (
        f"Test accuracy by task and arm: {'; '.join(parts)}. Markers are means over seeds, bars the whole "
        "range, dashes the majority class. The learning rates were not tuned for each "
        "task and method, so this shows that the runs work and does not rank the methods."
    )


SCORES = Figure("scores", "Language-model scores", "llm", table, draw, caption)
