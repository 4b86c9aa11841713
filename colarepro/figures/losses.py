"""Training loss across knots."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure as Canvas

from colarepro.figures.curves import legend
from colarepro.figures.figure import Figure
from colarepro.figures.style import COLOURS, LINES, REFERENCE, WIDTH, letter
from colarepro.results import Record, arm

PLAIN = ("lora", "cola", "cola, length 2")
"""Arms that are drawn: without variants, and with one knot."""
WINDOW = 25  # steps averaged, since single batches of eight say little


def table(records: Sequence[Record]) -> pd.DataFrame:
    """Training loss, running mean over `WINDOW` steps, of LoRA and COLA of two links by model, task, seed and step."""
    frames = []
    for record in records:
        config = record.config
        if record.status != "done" or arm(record) not in PLAIN:
            continue
        losses = pd.Series(record.curves["loss"], dtype=float).rolling(WINDOW, min_periods=WINDOW).mean()
        frame = pd.DataFrame({"step": record.curves["step"], "loss": losses}).dropna().iloc[::5]
        for name in ("seed", "method", "task", "model"):
            frame.insert(0, name, config[name])
        frame["knot"] = record.curves["knots"][0] if record.curves["knots"] else None
        frames.append(frame)
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def draw(frame: pd.DataFrame) -> Canvas:
    panels_wanted = sorted(set(zip(frame["model"], frame["task"], strict=True)))
    columns = min(3 if len(panels_wanted) <= 9 else 4, len(panels_wanted))
    rows = -(-len(panels_wanted) // columns)
    canvas, panels = plt.subplots(rows, columns, figsize=(WIDTH, 0.6 + 1.75 * rows), squeeze=False)
    for axes in panels.flat[len(panels_wanted) :]:
        axes.set_visible(False)
    for number, (axes, (model, task)) in enumerate(zip(panels.flat, panels_wanted, strict=False)):
        here = frame[(frame["model"] == model) & (frame["task"] == task)]
        for index, method in enumerate(("lora", "cola"), start=1):  # in the colours that other figures give them
            by_step = here[here["method"] == method].groupby("step")["loss"]
            if not by_step.ngroups:
                continue
            mean = by_step.mean()
            axes.plot(mean.index, mean, LINES[index - 1], color=COLOURS[index], label=method)
            axes.fill_between(mean.index, by_step.min(), by_step.max(), color=COLOURS[index], alpha=0.15, linewidth=0)
        for knot in here["knot"].dropna().unique():
            axes.axvline(knot, color=REFERENCE, linewidth=0.8)
        axes.set(xlabel="optimizer step" if number >= len(panels_wanted) - columns else "", ylim=(0, None))
        letter(axes, number, f"{task},\n{model}" if columns > 3 else f"{task}, {model}")
    for axes in panels[:, 0]:
        axes.set_ylabel("training loss (nats)")
    panels[0, 0].plot([], [], color=REFERENCE, linewidth=0.8, label="knot")
    legend(canvas, columns=3)
    return canvas


def caption(frame: pd.DataFrame) -> str:
    seeds = frame.groupby(["model", "task", "method"])["seed"].nunique().groupby("model").max()
    counts = ", ".join(f"{model}: {count}" for model, count in seeds.items())
    return (
        f"Training loss of LoRA and COLA, running mean over {WINDOW} steps; lines are means over the seeds ({counts}), "
        "bands their whole range. At the grey line COLA merges its link and starts the next."
    )


LOSSES = Figure("losses", "Loss curves across knots", "llm", table, draw, caption)
