"""The algorithm as a picture, with the learning rates of a real schedule under it."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from colarepro.chain import Schedule
from colarepro.figures.figure import Figure
from colarepro.figures.style import COLOURS, LINES, REFERENCE, WIDTH, letter
from colarepro.results import Record

STEPS, LENGTH = 600, 3


def table(records: Sequence[Record]) -> pd.DataFrame:
    """Relative learning rate of a linear schedule under both policies, by optimizer step."""
    plan = Schedule(length=LENGTH).resolve(STEPS)
    rows = [
        {
            "step": step,
            "link": plan.link_at(step) + 1,
            "continue": 1 - step / STEPS,
            "restart": 1 - plan.squeezed(step) / STEPS,
        }
        for step in range(STEPS)
    ]
    return pd.DataFrame(rows)


def draw(frame: pd.DataFrame) -> Canvas:
    canvas, (top, bottom) = plt.subplots(2, 1, figsize=(WIDTH, 3.9), height_ratios=(1.75, 1))
    _chain(top)
    letter(top, 0, "Train a link, tie a knot, start the next link")
    for number, policy in enumerate(("continue", "restart")):
        bottom.plot(frame["step"], frame[policy], LINES[number], color=COLOURS[number], label=policy)
    for knot in frame.index[frame["link"].diff() > 0]:
        bottom.axvline(frame["step"][knot], color=REFERENCE, linewidth=0.8)
        bottom.annotate("knot", (frame["step"][knot], 1.0), xytext=(3, 0), textcoords="offset points", color=REFERENCE)
    bottom.set(xlabel="optimizer step", ylabel="learning rate\n(share of its peak)", xlim=(0, STEPS), ylim=(0, 1.15))
    bottom.legend(title="at a knot", loc="upper right", bbox_to_anchor=(1.0, 1.08))
    letter(bottom, 1, "Learning rate under both policies")
    return canvas


def _chain(axes: Axes) -> None:
    axes.set(xlim=(-0.1, 11.3), ylim=(-0.1, 3.6))
    axes.axis("off")
    for link in range(1, LENGTH + 1):
        left = 4.1 * (link - 1)
        past = "".join(f" + B{_subscript(k)}A{_subscript(k)}" for k in range(1, link))
        _box(axes, left, 0.7, 2.9, 1.0, f"W{past}\nfrozen", "0.88")
        _box(axes, left + 0.75, 2.5, 1.4, 1.0, f"B{_subscript(link)}A{_subscript(link)}\ntrained", "white", COLOURS[0])
        axes.text(left + 1.45, 2.1, "+", ha="center", va="center", fontsize=11)
        if link < LENGTH:
            arrow = FancyArrowPatch((left + 2.95, 1.2), (left + 4.05, 1.2), arrowstyle="-|>", mutation_scale=10)
            axes.add_patch(arrow)
            axes.text(left + 3.5, 1.5, "knot", ha="center", fontsize=7.5)
            axes.text(
                left + 3.5, 0.15, "merge; new A, B = 0;\nforget optimizer state", ha="center", va="center", fontsize=6.5
            )


def _box(
    axes: Axes, left: float, bottom: float, width: float, height: float, text: str, face: str, edge: str = "0.3"
) -> None:
    axes.add_patch(
        FancyBboxPatch((left, bottom), width, height, boxstyle="round,pad=0.03", facecolor=face, edgecolor=edge)
    )
    axes.text(left + width / 2, bottom + height / 2, text, ha="center", va="center", fontsize=8)


def _subscript(number: int) -> str:
    return "₀₁₂₃₄₅₆₇₈₉"[number]


def caption(frame: pd.DataFrame) -> str:
    return (
        f"Chain of LoRA with {LENGTH} links (arXiv 2401.04151, Algorithm 1). (a) At a knot the trained product is "
        "merged into the frozen weight in float32, A is drawn anew, B set to zero, and the optimizer forgets exactly "
        "these parameters. (b) The paper does not say what the learning rate does at a knot; both readings, on a "
        f"linear schedule of {STEPS} steps. No measurement."
    )


ALGORITHM = Figure("algorithm", "Figure 1: the algorithm", "none", table, draw, caption)
