"""The generalisation gap against chain length, in theory and in language models."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from colarepro.figures import generalization
from colarepro.figures.arms import SETTING, chosen, setting, span, tasks_in_order
from colarepro.figures.chain_length import CHAIN, SERIES, SUMMED
from colarepro.figures.curves import legend, mark
from colarepro.figures.figure import Figure
from colarepro.figures.style import WIDTH, letter
from colarepro.results import Record, mean_interval

THEORY = {"COLA, rank-1 links": SERIES[0], "LoRA, summed rank": SERIES[1]}
NOISE, SAMPLES = 1.0, 28
"""The middle one of theory's cells; `train-test-gap` has all."""
ALL = "all tasks"
GAPS = {"loss": ("test_loss_last", "train_loss_last"), "accuracy": ("train_accuracy_last", "test_accuracy_last")}


def table(records: Sequence[Record]) -> pd.DataFrame:
    """The gap by half, quantity (loss: test - train; accuracy: train - test), task, series and length; of theory and
    of all tasks together with the 95 % interval over seeds or draws."""
    theory = generalization.table([record for record in records if record.kind == "theory"])
    frames = []
    if not theory.empty:
        here = theory[(theory["noise"] == NOISE) & (theory["samples"] == SAMPLES) & theory["method"].isin(THEORY)]
        parts = {f"generalization_gap_{part}": part for part in ("mean", "low", "high")}
        frames.append(
            here.rename(columns=parts)[["length", *parts.values(), "seeds"]].assign(
                half="theory", quantity="loss", task="regression", series=here["method"].map(THEORY)
            )
        )
    runs = chosen(records)
    if "train_loss_last" in runs:
        for series, lengths in zip(SERIES, (CHAIN, SUMMED), strict=True):
            own = runs.assign(length=runs["arm"].map(lengths)).dropna(subset=["length", "train_loss_last"])
            for quantity, (more, less) in GAPS.items():
                frame = _gaps(own.assign(gap=own[more] - own[less]))
                frames.append(frame.assign(half="language model", quantity=quantity, series=series))
    return pd.concat(frames, ignore_index=True) if len(frames) > 1 else pd.DataFrame()


def _gaps(runs: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for length, own in runs.groupby("length"):
        named = dict(zip(SETTING, own[SETTING].iloc[0], strict=True)) | {"length": int(length)}  # type: ignore[arg-type]
        cells = own.pivot_table(index="data_seed", columns="task", values="gap")
        for task in cells:
            rows.append(named | {"task": task, "mean": cells[task].mean(), "seeds": cells[task].count()})
        if cells.shape[1] == runs["task"].nunique():  # else the mean would be over other tasks
            whole = mean_interval(cells.dropna().mean(axis=1).tolist())
            rows.append(named | {"task": ALL, "mean": whole.mean, "low": whole.low, "high": whole.high})
            rows[-1]["seeds"] = whole.count
    return pd.DataFrame(rows)


def draw(frame: pd.DataFrame) -> Canvas:
    canvas, panels = plt.subplots(1, 3, figsize=(WIDTH, 3.1))
    models = frame[frame["half"] == "language model"]
    _means(panels[0], frame[frame["half"] == "theory"], 1)
    panels[0].set(ylabel="test - train loss (half squared error)", xticks=sorted(frame["length"].unique()))
    letter(panels[0], 0, "theory, regression")
    tasks = [task for task in tasks_in_order(models["task"]) if task != ALL]
    for number, (quantity, label, factor) in enumerate(
        (("loss", "test - train loss (nats)", 1), ("accuracy", "train - test accuracy (points)", 100)), start=1
    ):
        here = models[models["quantity"] == quantity]
        for index, task in enumerate(tasks):
            rows = here[(here["task"] == task) & (here["series"] == SERIES[0])].sort_values("length")
            style = mark(index + 2) | {"linewidth": 0.8, "markersize": 3, "alpha": 0.8}
            panels[number].plot(rows["length"], factor * rows["mean"], label=task, **style)
        _means(panels[number], here[here["task"] == ALL], factor)
        panels[number].set_ylabel(label)
        panels[number].set_xticks(sorted(here["length"].unique()))
        letter(panels[number], number, f"LLM, {quantity}")
    for axes in panels:
        axes.set_xlabel("chain length")
    legend(canvas, 5)
    return canvas


def _means(axes: Axes, frame: pd.DataFrame, factor: float) -> None:
    """Both series with their intervals."""
    for index, series in enumerate(SERIES):
        rows = frame[frame["series"] == series].sort_values("length")
        mean, low, high = (factor * rows[part] for part in ("mean", "low", "high"))
        style = mark(index) | {"linewidth": 2}
        axes.errorbar(rows["length"], mean, yerr=(mean - low, high - mean), capsize=2, label=series, **style)


def caption(frame: pd.DataFrame) -> str:
    models = frame[frame["half"] == "language model"]
    seeds = int(frame.loc[frame["half"] == "theory", "seeds"].iloc[0])
    return (
        f"Generalisation gap against chain length. (a) Noisy regression, chains of rank-1 links, noise {NOISE:g}, "
        f"{SAMPLES} samples, {seeds} seeds. (b, c) {setting(models)} after the last epoch, so that every link is in, "
        f"{span(models['seeds'])} draws at the learning rate chosen on dev; thin: each task's mean. Thick: chains, and "
        "one LoRA of their summed rank, with 95 % Student intervals over seeds, and for language models over draws of "
        "the mean over tasks."
    )


SIDE_BY_SIDE = Figure("gap-side-by-side", "Gap against chain length, both halves", "both", table, draw, caption)
