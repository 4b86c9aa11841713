"""Theory figures: their numbers are the records', and a run that diverges does not spoil a panel."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from colarepro.figures import FIGURES, figure
from colarepro.figures.style import style
from colarepro.results import Record

THEORY = [name for name, wanted in FIGURES.items() if wanted.kind == "theory"]
EXPERIMENTS = {
    "convergence": ("convergence",),
    "bound": ("theorem",),
    "pursuit": ("pursuit", "path"),
    "generalization-gap": ("generalization",),
    "train-test-gap": ("generalization",),
}


def one(records: list[Record], experiment: str, label: str, **config: Any) -> Record:
    (found,) = [
        record
        for record in records
        if record.config["experiment"] == experiment
        and record.config["label"] == label
        and all(record.config[key] == value for key, value in config.items())
    ]
    return found


def drawn(name: str, frame: pd.DataFrame) -> list[Axes]:
    with style():
        canvas = figure(name).draw(frame)
    plt.close(canvas)
    return canvas.axes


@pytest.mark.parametrize("name", THEORY)
def test_a_figure_reads_its_own_experiment(name: str, theory: list[Record]) -> None:
    own = [record for record in theory if record.config["experiment"] in EXPERIMENTS.get(name, (name,))]
    pd.testing.assert_frame_equal(figure(name).table(own), figure(name).table(theory))
    assert figure(name).table([record for record in theory if record not in own]).empty


@pytest.mark.parametrize("name", THEORY)
def test_no_panel_is_empty_and_none_lacks_its_letter(name: str, theory: list[Record]) -> None:
    panels = [axes for axes in drawn(name, figure(name).table(theory)) if axes.axison]
    for axes in panels:
        assert axes.has_data()
        assert np.isfinite(axes.get_ylim()).all()
        place = axes.get_subplotspec()
        assert place is not None
        assert axes.get_xlabel() or not place.is_last_row()
        named = any(label.get_text().isalpha() for label in axes.get_yticklabels())  # methods name themselves
        assert axes.get_ylabel() or named or not place.is_first_col()
    titles = [axes.get_title(loc="left")[:3] for axes in panels]
    assert titles == [f"({'abcdefghi'[index]})" for index in range(len(panels))] or name == "digits"


def test_convergence_counts_the_gradients_of_oracles(theory: list[Record]) -> None:
    table = figure("convergence").table(theory)
    record = one([r for r in theory if r.config["problem"]["name"] == "regression"], "convergence", "idealised COLA")
    rows = table[(table["problem"] == "regression") & (table["method"] == "idealised COLA")]
    assert rows["gradients"].iloc[-1] == record.costs["gradients"] > rows["step"].iloc[-1]
    last = [seed[-1] for seed in record.curves["excess"]]
    assert rows[["lowest", "median", "highest"]].iloc[-1].tolist() == pytest.approx(
        [min(last), np.mean(last), max(last)]
    )
    assert table[table["method"] == "Frank-Wolfe, open loop"]["bound"].notna().all()


def test_bound_is_drawn_from_the_first_valid_step(theory: list[Record]) -> None:
    table = figure("bound").table(theory)
    record = one(theory, "theorem", "LoRA link", radius_share=0.1)
    rows = table[(table["oracle"] == "LoRA link") & (table["radius_share"] == 0.1)]
    assert rows["average_gap"].tolist() == record.curves["average_gap"][0]
    assert rows[rows["valid"]]["T"].min() == record.scores["first_valid"] > 1
    assert (rows["average_gap"] < rows["bound_proved"])[rows["valid"]].all()
    exact, small, _, minibatch, *_ = drawn("bound", table)
    assert [np.min(line.get_xdata()) for line in small.lines] == [2, 2, 1]  # both bounds, and the gap from T = 1
    assert len(exact.lines) + 1 == len(minibatch.lines)  # the exact oracle has no error to draw


def test_frank_wolfe_shows_means_over_seeds(theory: list[Record]) -> None:
    table = figure("frank-wolfe").table(theory)
    assert table["t"].min() == 1
    record = one(theory, "frank-wolfe", "open loop", radius_share=0.5)
    row = table[(table["rule"] == "open loop") & (table["radius_share"] == 0.5)].iloc[-1]
    assert row["t"] == record.curves["step"][-1]
    assert row["mean"] == pytest.approx(np.mean([seed[-1] for seed in record.curves["excess"]]))
    assert set(table[table["quantity"] == "least_gap"]["radius_share"]) == {1.0, 0.5}


def test_rac_lora_relates_the_factor_to_theory(theory: list[Record]) -> None:
    table = figure("rac-lora").table(theory)
    (record,) = [r for r in theory if r.config["label"] == "isotropic" and r.config["method"]["rank"] == 4]
    row = table[(table["problem"] == "isotropic") & (table["rank"] == 4)].iloc[1]
    assert row["factor_mean"] == pytest.approx(record.scores["factor_mean"] / (1 - 4 / 24))
    assert row["bound"] == pytest.approx(1 - 4 / 24)
    assert table[table["problem"] == "nonconvex"]["factor_mean"].isna().all()


def counterexample_record(label: str, excess: list[list[float | None]], steps: int = 2) -> Record:
    lost = sum(seed[-1] is None for seed in excess) if len(excess[0]) == 3 else len(excess)
    return Record(
        kind="theory",
        config={
            "experiment": "counterexample",
            "label": label,
            "factor": 1.0,
            "steps": steps,
            "solved": 0.02,
            "stalled": 0.98,
        },
        status="diverged" if lost else "done",
        scores={"diverged": lost, "converged": len(excess) - lost, "stalled": 0, "still falling": 0},
        curves={"step": list(range(len(excess[0]))), "excess": excess},
    )


def test_counterexample_leaves_out_seeds_that_diverged() -> None:
    some = counterexample_record("some", [[2.0, 1e6, 0.5], [2.0, 3e6, 0.7], [2.0, 1e15, None]])
    all_lost = counterexample_record("all", [[2.0, 1e15], [2.0, None]])
    table = figure("counterexample").table([some, all_lost])
    assert table[table["method"] == "some"]["median"].tolist() == pytest.approx([2.0, 2e6, 0.6])
    assert table[table["method"] == "all"]["median"].isna().all()
    top, bottom = drawn("counterexample", table)
    assert top.get_ylim()[1] < 10
    assert len([line for line in top.lines if np.size(line.get_xdata())]) == 1
    assert sum(bar.get_width() for bar in bottom.patches if isinstance(bar, Rectangle)) == 3 + 2


def test_counterexample_accounts_for_every_seed(theory: list[Record]) -> None:
    table = figure("counterexample").table(theory)
    ends = table[["converged", "still_falling", "stalled", "diverged"]].sum(axis=1)
    assert (ends == table["seeds"]).all()
    assert (table["median"].isna() == (table["diverged"] == table["seeds"])).all()


def test_pursuit_has_both_halves(theory: list[Record]) -> None:
    table = figure("pursuit").table(theory)
    rows = table[(table["panel"] == "pursuit") & (table["rank"] == 2) & (table["observed"] == 1.0)]
    assert rows["bound"].tolist() == pytest.approx([(1 - 2 / 16) ** step for step in rows["step"]])
    assert (rows["highest"] <= rows["bound"]).all()
    record = one(theory, "path", "COLA", condition=4.0, link_steps=25)
    row = table[(table["condition"] == 4.0) & (table["link_steps"] == 25)].iloc[0]
    assert row["lag_mean"] == record.scores["lag_mean"]


def test_beyond_has_no_oracle_before_the_first_link(theory: list[Record]) -> None:
    table = figure("beyond").table(theory)
    assert (table["share_median"].isna() == (table["links"] == 0)).all()
    record = one(theory, "beyond", "addition, gradient descent", rank=2)
    row = table[(table["kind"] == "addition, gradient descent") & (table["rank"] == 2)].iloc[-1]
    assert row["share_median"] == pytest.approx(np.median([seed[-1] for seed in record.curves["oracle_share"]]))


def test_precision_counts_knots(theory: list[Record]) -> None:
    table = figure("precision").table(theory)
    assert table["knots"].min() == 0
    assert table["knots"].max() == 100
    record = one(theory, "precision", "bfloat16, added in place", size=0.1)
    rows = table[(table["weights"] == "bfloat16, added in place") & (table["size"] == 0.1)]
    assert set(rows["kept_mean"]) == {record.scores["kept_mean"]}


@pytest.mark.parametrize(
    ("name", "score"), [("generalization-gap", "test_loss"), ("train-test-gap", "generalization_gap")]
)
def test_generalization_panels_hold_every_trained_arm(name: str, score: str, theory: list[Record]) -> None:
    table = figure(name).table(theory)
    panels = drawn(name, table)
    places = [(noise, samples) for noise in (0.5, 1.0, 2.0) for samples in (22, 28, 60)]
    for axes, (noise, samples) in zip(panels, places, strict=True):
        here = table[(table["noise"] == noise) & (table["samples"] == samples)]
        trained = here[(here["length"] > 0) & (here["method"] != "best of this rank")]
        assert axes.get_ylim()[0] < trained[f"{score}_low"].min()
        assert axes.get_ylim()[1] > trained[f"{score}_high"].max()
        # What the panel does not hold is named in it.
        flat = here[(here["length"] == 0) & (here[f"{score}_mean"] > axes.get_ylim()[1])]
        named = " ".join(text.get_text() for text in axes.texts)
        assert all(f"{row['method']} {row[f'{score}_mean']:.3g}" in named for _, row in flat.iterrows())


def test_digits_are_labelled_with_what_they_train(theory: list[Record]) -> None:
    table = figure("digits").table(theory)
    record = one(theory, "digits", "LoRA, rank 1")
    row = table[table["method"] == "LoRA, rank 1"].iloc[0]
    assert row["accuracy_mean"] == record.scores["accuracy_mean"]
    (axes,) = drawn("digits", table)
    assert f"LoRA, rank 1 ({record.scores['trained']:.0f})" in [label.get_text() for label in axes.get_yticklabels()]
