"""RAC-LoRA's 3 x 3 quadratic: excess along the runs, and how the runs end, at three step sizes."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure as Canvas

from colarepro.figures.curves import Rows, curve, line, of
from colarepro.figures.figure import Figure
from colarepro.figures.style import WIDTH, letter
from colarepro.results import Record

LOWEST = 1e-8
OUTCOMES = {
    "converged": ("white", ""),
    "still falling": ("0.8", "..."),
    "stalled": ("0.55", ""),
    "diverged": ("0.1", ""),
}


def table(records: Sequence[Record]) -> pd.DataFrame:
    """Median and range of the excess over the seeds that did not diverge (empty where none), and how seeds ended, by
    step size, method and step."""
    rows: Rows = []
    for record in of(records, "counterexample"):
        excess, last = curve(record, "excess"), record.curves["step"][-1]
        # Where all seeds diverge the curves end before the last step.
        kept = excess[np.isfinite(excess[:, -1]) & (last == record.config["steps"])]
        for index, step in enumerate(record.curves["step"]):
            values = kept[:, index]
            rows.append(
                {
                    "factor": record.config["factor"],
                    "method": record.config["label"],
                    "step": step,
                    "median": np.median(values) if len(kept) else None,
                    "lowest": values.min() if len(kept) else None,
                    "highest": values.max() if len(kept) else None,
                    **{word.replace(" ", "_"): record.scores[word] for word in OUTCOMES},
                    "solved_below": record.config["solved"],
                    "stalled_above": record.config["stalled"],
                    "seeds": len(excess),
                }
            )
    return pd.DataFrame(rows).astype({"median": float, "lowest": float, "highest": float}) if rows else pd.DataFrame()


def draw(frame: pd.DataFrame) -> Canvas:
    factors, methods = sorted(frame["factor"].unique(), reverse=True), list(dict.fromkeys(frame["method"]))
    canvas, panels = plt.subplots(2, len(factors), figsize=(WIDTH, 5.2), squeeze=False, sharey="row")
    for number, factor in enumerate(factors):
        axes, ends = panels[:, number]
        here = frame[frame["factor"] == factor]
        for index, method in enumerate(methods):
            rows = here[here["method"] == method]
            if rows["median"].notna().all():
                line(axes, index, rows["step"], rows["median"], markevery=(index, 10))
        axes.set(xlabel="steps", yscale="log", ylim=(LOWEST, 4), xlim=(0, None))
        axes.minorticks_off()
        letter(axes, number, f"step {factor:g}/L")
        counts = here.drop_duplicates("method").set_index("method").reindex(methods)
        left = np.zeros(len(methods))
        for word, (face, hatch) in OUTCOMES.items():
            count = counts[word.replace(" ", "_")].fillna(0).to_numpy()
            ends.barh(
                methods, count, 0.7, left, label=word, facecolor=face, hatch=hatch, edgecolor="0.3", linewidth=0.6
            )
            left += count
        ends.set(xlabel="seeds", xlim=(0, frame["seeds"].max()))
        ends.grid(visible=False, axis="y")
        letter(ends, number + len(factors), f"how runs end, {factor:g}/L")
    panels[1][0].invert_yaxis()
    panels[0][0].set_ylabel("loss above the optimum")
    handles, labels = panels[1][0].get_legend_handles_labels()
    lines = []
    for index, method in enumerate(methods):
        line(panels[0][0], index, [], [], label=method)
        lines.append(panels[0][0].lines[-1])
    canvas.legend([*lines, *handles], [*methods, *labels], loc="outside lower center", ncols=4)
    return canvas


def caption(frame: pd.DataFrame) -> str:
    first = frame.iloc[0]
    taken = ", ".join(f"{steps:,} at {factor:g}/L" for factor, steps in frame.groupby("factor")["step"].max().items())
    return (
        f"RAC-LoRA's quadratic of 3 × 3 weights, rank 1, Gaussian A, links of 10 steps, {first['seeds']} seeds that "
        f"differ in the draws of A alone; steps: {taken}, for the problem's L = 20 (local step: for the factors' own "
        f"L). Top: medians over the seeds that did not diverge, none where every seed did; values below {LOWEST:g} "
        "leave the panel, ranges over seeds are in the CSV. Bottom: seeds that converged (excess below "
        f"{first['solved_below']:g}), diverged, stalled (after the second half of the steps more than "
        f"{first['stalled_above']:.0%} of the excess is left) or are still falling. The best update of rank 1 is 0.289 "
        "above the optimum."
    )


COUNTEREXAMPLE = Figure("counterexample", "Who diverges, stalls, converges", "theory", table, draw, caption)
