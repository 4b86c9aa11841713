"""The figure of watched runs: balls in common, learning rates by dev, and every quantity in its panel."""

import dataclasses

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from colarepro.figures import figure
from colarepro.results import Record
from tests.figures.anatomy import ARMS, TARGETS, watched, watched_runs


@pytest.fixture
def table() -> pd.DataFrame:
    return figure("anatomy").table(list(watched_runs()))


def test_every_run_at_the_learning_rate_that_dev_chooses(table: pd.DataFrame) -> None:
    assert set(table["arm"]) == set(ARMS)
    assert table.groupby("arm")["learning_rate"].unique().map(list).to_dict() == {
        "lora": [5e-4],
        "cola, length 2": [1e-3],
        "cola, length 2, same A": [1e-3],
    }
    assert set(table["draws"]) == {2}


def test_gaps_are_in_balls_that_hold_the_deltas_of_all_runs_of_a_task(table: pd.DataFrame) -> None:
    """The second draw's last delta is the largest, 2 x (1, 2, 3, 4): the radii."""
    largest = 2.0 * sum(range(1, TARGETS + 1))
    gaps = table[(table["quantity"] == "gap") & (table["task"] == "rte") & (table["arm"] == "cola, length 2")]
    grown = [0, 0.25, 0.5, 0.75, 1.0]
    first, second = ([largest - share * size for share in grown] for size in (largest / 2, largest))
    assert gaps["highest"].tolist() == pytest.approx(first)
    assert gaps["lowest"].tolist() == pytest.approx(second)
    assert gaps["mean"].tolist() == pytest.approx([(one + other) / 2 for one, other in zip(first, second, strict=True)])


def test_a_run_that_did_not_finish_is_not_drawn() -> None:
    lost = dataclasses.replace(watched("lora"), status="diverged", reason="lost", curves={})
    table = figure("anatomy").table([lost, watched("cola, length 2")])
    assert set(table["arm"]) == {"cola, length 2"}
    assert figure("anatomy").table([lost]).empty


def test_a_panel_a_quantity_and_task(table: pd.DataFrame) -> None:
    canvas = figure("anatomy").draw(table)
    assert isinstance(canvas, plt.Figure)
    assert len(canvas.axes) == 8 * 2
    shown = [text.get_text() for text in canvas.legends[0].get_texts()]
    assert shown == ["lora", *list(ARMS)[1:], "gains nothing", "before fine-tuning", "random spaces"]
    plt.close(canvas)
    alone = figure("anatomy").draw(figure("anatomy").table([watched("lora")]))
    assert isinstance(alone, plt.Figure)
    assert len(alone.axes) == 6  # one link has no angles
    plt.close(alone)


def test_more_tasks_than_the_alphabet_has_letters_for() -> None:
    runs = [watched("cola, length 2", task) for task in ("cb", "wsc", "wic", "rte")]
    canvas = figure("anatomy").draw(figure("anatomy").table(runs))
    assert isinstance(canvas, plt.Figure)
    assert [axes.get_title(loc="left") for axes in canvas.axes][25:28] == ["(z) cb", "(aa) wic", "(ab) rte"]
    plt.close(canvas)


def test_lines_are_means_over_draws(table: pd.DataFrame) -> None:
    canvas = figure("anatomy").draw(table)
    assert isinstance(canvas, plt.Figure)
    row = next(axes for axes in canvas.axes if "held-out perplexity" in axes.get_title(loc="left"))
    axes = canvas.axes[canvas.axes.index(row) + 1]
    assert axes.get_title(loc="left") == "(j) rte"
    lora = next(line for line in axes.lines if line.get_label() == "lora")
    assert list(lora.get_xdata()) == [0, 10, 20]
    assert list(lora.get_ydata()) == pytest.approx([1, 1.75, 2.5])  # of draws that end at 2 and 3
    plt.close(canvas)


def test_the_caption_says_what_the_runs_were(table: pd.DataFrame, records: list[Record]) -> None:
    said = figure("anatomy").caption(table)
    assert "tiny in float32, 2 draws, learning rates 0.0005, 0.001" in said
    assert "lora 3.5, cola, length 2 3.5" in said
    assert {record.kind for record in records} == {"llm", "theory", "anatomy"}
