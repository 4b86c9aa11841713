"""How much the learning rate matters, by arm and task."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure as Canvas

from colarepro.figures.arms import SETTING, campaign, chosen, in_order, is_ablation, setting, span, tasks_in_order
from colarepro.figures.figure import Figure
from colarepro.figures.style import WIDTH, letter
from colarepro.results import Record

LARGEST = 10
"""Points at which the shades end."""


def table(records: Sequence[Record]) -> pd.DataFrame:
    """Mean dev and test accuracy over draws by task, arm and learning rate, whether dev chose the rate, and what each
    loses against the best rate of the same task and arm, in per cent."""
    runs = campaign(records)
    if runs.empty or runs["learning_rate"].isna().all():
        return pd.DataFrame()
    keys = [*SETTING, "task", "arm", "learning_rate"]
    done = runs[(runs["status"] == "done") & runs["learning_rate"].notna()]
    frame = done.groupby(keys, sort=False)[["dev_accuracy", "test_accuracy"]].mean()
    frame["draws"] = done.groupby(keys).size()
    frame["chosen"] = frame.index.isin(chosen(records).set_index(keys).index)
    for split in ("dev", "test"):
        best = frame.groupby(["task", "arm"])[f"{split}_accuracy"].transform("max")
        frame[f"{split}_loss_points"] = 100 * (best - frame[f"{split}_accuracy"])
    return frame.reset_index()


def draw(frame: pd.DataFrame) -> Canvas:
    frame = frame[~is_ablation(frame["arm"])]
    arms, tasks = in_order(frame["arm"]), tasks_in_order(frame["task"])
    rates = sorted(frame["learning_rate"].unique())
    shades = plt.colormaps["Blues"].with_extremes(bad="0.8")
    columns = pd.MultiIndex.from_product([tasks, rates])
    canvas, panels = plt.subplots(2, 1, figsize=(WIDTH, 1.3 + 0.28 * len(arms)), sharex=True)
    for number, (axes, split) in enumerate(zip(panels, ("dev", "test"), strict=True)):
        cells = frame.pivot(index="arm", columns=["task", "learning_rate"], values=f"{split}_loss_points")
        image = axes.imshow(
            cells.reindex(index=arms, columns=columns), cmap=shades, vmin=0, vmax=LARGEST, aspect="auto"
        )
        picked = frame[frame["chosen"]]
        axes.plot(
            [columns.get_loc((row["task"], row["learning_rate"])) for _, row in picked.iterrows()],
            [arms.index(arm) for arm in picked["arm"]],
            "o",
            color="black",
            markersize=2.2,
        )
        for border in range(1, len(tasks)):
            axes.axvline(border * len(rates) - 0.5, color="black", linewidth=0.8)
        axes.set_yticks(range(len(arms)), arms)
        axes.grid(visible=False)
        letter(axes, number, f"{split} accuracy")
    middle = [index * len(rates) + (len(rates) - 1) / 2 for index in range(len(tasks))]
    panels[1].set_xticks(middle, tasks)
    panels[1].tick_params(axis="x", length=0)
    panels[1].set_xlabel(f"for each task the learning rates {', '.join(f'{rate:g}' for rate in rates)}")
    bar = canvas.colorbar(image, ax=panels, shrink=0.6, extend="max")
    bar.set_label("points lost")
    return canvas


def caption(frame: pd.DataFrame) -> str:
    main = frame[~is_ablation(frame["arm"])]
    picked = main[main["chosen"]]
    at_edge = picked["learning_rate"].isin([main["learning_rate"].min(), main["learning_rate"].max()]).sum()
    return (
        f"What each learning rate loses against the best one of the same task and arm: {setting(frame)}, means over "
        f"{span(frame['draws'])} draws. Dots: the rate that the least mean dev loss chooses; it costs "
        f"{picked['test_loss_points'].mean():.1f} points of test accuracy on average against the best one in "
        f"hindsight, and lies at an end of the grid in {at_edge} of {len(picked)} cells. Grey: no run finished there."
    )


LEARNING_RATES = Figure("learning-rates", "Learning-rate sensitivity", "llm", table, draw, caption)
