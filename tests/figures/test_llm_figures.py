"""Language-model figures: their numbers are the records', computed here by loops."""

import dataclasses
import statistics
from collections.abc import Callable, Iterable
from itertools import groupby
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest

from colarepro.figures import FIGURES, figure
from colarepro.figures.arms import METHODS, campaign, in_order
from colarepro.figures.figure import NoRecordError
from colarepro.figures.style import style
from colarepro.methods import METHODS as KNOWN
from colarepro.results import Record, arm
from tests.figures.campaign import ARMS, DRAWS, RATES, TASKS, run

LLM = [name for name, wanted in FIGURES.items() if wanted.kind == "llm"]


def chosen(records: Iterable[Record], task: str, name: str) -> list[Record]:
    """The runs at the learning rate with the least mean dev loss."""
    own = [record for record in records if record.config["task"] == task and arm(record) == name]
    own.sort(key=lambda record: record.config.get("learning_rate", 0))
    rates = [list(some) for _, some in groupby(own, key=lambda record: record.config.get("learning_rate", 0))]
    return min(rates, key=lambda some: statistics.mean(record.scores["dev_loss"] for record in some))


def accuracies(records: Iterable[Record], score: str = "test_accuracy") -> list[float]:
    return [100 * record.scores[score] for record in records]


def row(table: pd.DataFrame, **where: Any) -> pd.Series:
    (found,) = [one for _, one in table.iterrows() if all(one[name] == value for name, value in where.items())]
    return found


def test_methods_are_in_the_order_of_the_methods() -> None:
    assert tuple(KNOWN) == METHODS
    assert in_order(["zero-shot", "cola, length 3", "lora", "cola, length 2", "lora"]) == [
        "lora",
        "cola, length 2",
        "cola, length 3",
        "zero-shot",
    ]


def test_the_hand_made_arms_have_the_names_that_records_have(runs: list[Record]) -> None:
    assert {arm(record) for record in runs} == set(ARMS)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", ["full", "lora", "cola, length 2", "lora-rank-sum, length 3", "zero-shot"])
def test_table_1_has_mean_and_deviation_at_the_chosen_rate(name: str, task: str, runs: list[Record]) -> None:
    own = accuracies(chosen(runs, task, name))
    found = row(figure("table-1").table(runs), task=task, arm=name, certainty="measured")
    assert (found["mean"], found["sd"]) == pytest.approx((statistics.mean(own), statistics.stdev(own)))
    assert found["draws"] == DRAWS == len(own)
    texts = figure("table-1").draw(figure("table-1").table(runs))
    assert isinstance(texts, pd.DataFrame)
    assert row(texts[2:], arm=name)[task] == f"{statistics.mean(own):.1f} ± {statistics.stdev(own):.1f}"


def test_table_1_marks_what_is_doubtful_and_what_was_not_run(runs: list[Record]) -> None:
    texts = figure("table-1").draw(figure("table-1").table(runs))
    assert isinstance(texts, pd.DataFrame)
    reported = row(texts[:2], arm="cola")
    assert texts["model"].tolist()[:4] == ["OPT-1.3B, reported, from memory", "", "tiny", ""]
    assert (reported["multirc"], reported["rte"], reported["mean"]) == ("70.63?", "74.15", "-")
    assert row(texts[2:], arm="lora")["multirc"] == "-"
    assert not texts["arm"].str.contains("knot").any()  # the rank step-down and the knot policy have their figures


def test_table_2_says_that_nothing_was_run(runs: list[Record]) -> None:
    table = figure("table-2").table(runs)
    assert table[["task", "arm", "mean"]].to_numpy().tolist() == [["rte", "lora", 82.09], ["rte", "cola", 85.70]]
    assert "nothing was run" in figure("table-2").caption(table)
    llama = [dataclasses.replace(r, config=r.config | {"model": "meta-llama/Llama-2-7b-hf"}) for r in runs]
    assert "nothing was run" not in figure("table-2").caption(figure("table-2").table(llama))


@pytest.mark.parametrize(
    ("name", "series", "length"),
    [
        ("lora", "chain", 1),
        ("cola, length 3", "chain", 3),
        ("lora-rank-sum, length 2", "one LoRA of the links' summed rank", 2),
    ],
)
def test_chain_length_and_table_4_share_their_numbers(name: str, series: str, length: int, runs: list[Record]) -> None:
    own = accuracies(chosen(runs, "wic", name))
    table = figure("chain-length").table(runs)
    found = row(table, task="wic", series=series, length=length)
    assert 100 * found["mean"] == pytest.approx(statistics.mean(own))
    last = accuracies(chosen(runs, "wic", "cola, length 2"), "test_accuracy_last")
    found = row(table, task="wic", series="chain, after the last epoch", length=2)
    assert 100 * found["mean"] == pytest.approx(statistics.mean(last))
    assert "not run: length 4, 5, 6" in figure("chain-length").caption(table)
    texts = figure("table-4").draw(figure("table-4").table(runs))
    assert isinstance(texts, pd.DataFrame)
    if series == "chain":
        assert row(texts, length=length)["wic"] == f"{statistics.mean(own):.1f} ± {statistics.stdev(own):.1f}"


def test_rank_step_down_counts_the_points_above_lora(runs: list[Record]) -> None:
    table = figure("rank-step-down").table(runs)
    assert sorted(table["second_rank"].unique()) == [0, 2, 4, 6, 8]
    above = 0
    for task in TASKS:
        lora = statistics.mean(accuracies(chosen(runs, task, "lora")))
        for rank in (2, 4, 6, 8):
            own = statistics.mean(accuracies(chosen(runs, task, f"cola, knot 3, ranks 8-{rank}")))
            assert 100 * row(table, task=task, second_rank=rank)["mean"] == pytest.approx(own)
            above += own > lora
    assert f"{above} of 12 points lie above LoRA" in figure("rank-step-down").caption(table)


def test_knot_policy_tells_policies_apart(runs: list[Record]) -> None:
    table = figure("knot-policy").table(runs)
    assert set(table["policy"]) == {"continue, fresh A", "restart, same A", "LoRA"}
    own = accuracies(chosen(runs, "rte", "cola, knot 2, restart LR, same A"))
    assert 100 * row(table, task="rte", policy="restart, same A", knot=2)["mean"] == pytest.approx(statistics.mean(own))


def test_best_epoch_counts_models_without_a_later_link(runs: list[Record]) -> None:
    table = figure("best-epoch").table(runs)
    for name, first_knot in (("cola, length 2", 30), ("cola, length 3", 20), ("cola, knot 3, ranks 8-8", 36)):
        own = [record for task in TASKS for record in chosen(runs, task, name)]
        here = table[table["arm"] == name]
        assert here["runs"].sum() == len(own)
        lost = sum(record.scores["best_step"] <= first_knot for record in own)
        assert here.loc[here["first_link_only"].astype(bool), "runs"].sum() == lost
        epochs = [record.scores["best_step"] / 12 for record in own]
        assert here.groupby("epoch")["runs"].sum().to_dict() == {e: epochs.count(e) for e in set(epochs)}
    assert table.loc[table["arm"] == "lora", "first_link_only"].isna().all()


def test_learning_rates_are_compared_within_an_arm_and_task(runs: list[Record]) -> None:
    table = figure("learning-rates").table(runs)
    means = {
        rate: statistics.mean(accuracies(run("lora", "rte", rate, draw) for draw in range(DRAWS))) for rate in RATES
    }
    for rate in RATES:
        found = row(table, task="rte", arm="lora", learning_rate=rate)
        assert found["test_loss_points"] == pytest.approx(max(means.values()) - means[rate])
        assert found["chosen"] == (chosen(runs, "rte", "lora")[0].config["learning_rate"] == rate)
    assert (table.groupby(["task", "arm"])["chosen"].sum() == 1).all()
    assert not table["arm"].isin(["zero-shot", "linear-probe"]).any()


def test_losses_are_running_means_over_the_draws(runs: list[Record]) -> None:
    table = figure("losses").table(runs)
    own = chosen(runs, "wic", "cola, length 2")
    smooth = [statistics.mean(record.curves["loss"][10:35]) for record in own]  # the 25 steps that end with step 35
    found = row(table, task="wic", arm="cola, length 2", step=35)
    assert found["mean"] == pytest.approx(statistics.mean(smooth))
    assert (found["min"], found["max"]) == pytest.approx((min(smooth), max(smooth)))
    knots = table[table["knot"]].groupby("arm")["step"].unique()
    assert {name: steps.tolist() for name, steps in knots.items()} == {
        "cola, length 2": [30],
        "cola, length 3": [40],  # the first of its knots, 20, lies before the first mean
    }


def test_costs_are_a_token_and_against_lora(runs: list[Record]) -> None:
    table = figure("cost").table(runs)
    assert not set(table["arm"]) & {"zero-shot", "linear-probe"}
    own = [record.costs["flops_train"] for record in runs if (arm(record), record.config["task"]) == ("full", "rte")]
    found = row(table, task="rte", arm="full")
    assert found["flops_per_token"] == pytest.approx(statistics.mean(own) / 1000)
    assert found["seconds_per_1000_tokens"] == pytest.approx(2.0)
    assert found["gigabytes"] == pytest.approx(0.5)  # 4 GB that 8 runs shared
    (panel, *_) = figure("cost").draw(table).axes
    assert [label.get_text() for label in panel.get_yticklabels()][:2] == ["full", "lora"]
    (markers,) = [line for line in panel.lines if line.get_marker() == "o"]
    assert max(np.asarray(markers.get_xdata())) == pytest.approx(1000)


def test_runs_that_shared_a_base_are_apart_from_those_alone(runs: list[Record]) -> None:
    alone = [
        dataclasses.replace(r, costs=r.costs | {"fleet": 1, "seconds_train": 5.0}) for r in runs if arm(r) == "lora"
    ]
    table = figure("cost").table([*runs, *alone])
    lora = table[(table["arm"] == "lora") & (table["task"] == "rte")]
    assert dict(zip(lora["shared"], lora["seconds_per_1000_tokens"], strict=True)) == {False: 5.0, True: 2.0}
    assert "equal part" in figure("cost").caption(table)
    assert "equal part" not in figure("cost").caption(table[~table["shared"]])


def test_table_3_is_against_lora_on_the_same_task(runs: list[Record]) -> None:
    table = figure("table-3").table(runs)

    def mean(name: str) -> float:
        own = [r.costs["flops_train"] for r in runs if (arm(r), r.config["task"]) == (name, "sst2")]
        return statistics.mean(own)

    name = "cola, knot 3, ranks 8-2"
    excess = 100 * (mean(name) / mean("lora") - 1)
    assert row(table, task="sst2", arm=name)["formula_excess"] == pytest.approx(excess)
    assert "does not see" not in figure("table-3").caption(table)
    blind = [dataclasses.replace(r, costs=r.costs | {"flops_train_counted": 1e12}) for r in runs]
    assert "does not see" in figure("table-3").caption(figure("table-3").table(blind))


@pytest.mark.parametrize(("epoch", "answers"), [("best epoch", "test"), ("last epoch", "test_last")])
def test_forest_compares_what_each_epoch_answered(epoch: str, answers: str, runs: list[Record]) -> None:
    table = figure("forest").table(runs)
    means = [
        statistics.mean(
            100 * np.mean(np.equal(record.predictions[answers], record.predictions["test_labels"]))
            for record in chosen(runs, "rte", name)
        )
        for name in ("cola, length 3", "lora")
    ]
    found = row(table, epoch=epoch, first="cola, length 3", task="rte")
    assert found["difference"] == pytest.approx(means[0] - means[1])
    assert found["low"] < found["difference"] < found["high"]
    assert (found["reported"], found["certainty"]) == (1.66, "certain")
    tasks = [row(table, epoch=epoch, first="cola, length 3", task=task)["difference"] for task in TASKS]
    mean = row(table, epoch=epoch, first="cola, length 3", task="mean of tasks")
    assert mean["difference"] == pytest.approx(statistics.mean(tasks))
    assert np.isnan(mean["reported"])


def test_other_data_under_a_task_s_name_is_compared_too(runs: list[Record]) -> None:
    """As many items as were asked for are taken for a part of the task's known split, which these labels are not of."""
    asked = {"test_examples": len(runs[0].predictions["test"])}
    table = figure("forest").table([dataclasses.replace(record, config=record.config | asked) for record in runs])
    differences = figure("forest").table(runs)["difference"]
    assert table["difference"].tolist() == pytest.approx(differences.tolist())
    assert row(table, epoch="best epoch", first="cola, length 2", task="rte")["items"] == DRAWS * asked["test_examples"]


def test_controls_name_what_was_not_run(runs: list[Record]) -> None:
    table = figure("controls").table(runs)
    assert set(table["second"]) == set(ARMS) & set(table["second"])
    assert "Not run" not in figure("controls").caption(table)
    fewer = figure("controls").table([record for record in runs if record.config["method"] != "relora"])
    assert "Not run: ReLoRA." in figure("controls").caption(fewer)


def test_settings_are_not_mixed(runs: list[Record]) -> None:
    few = [dataclasses.replace(record, config=record.config | {"dtype": "float32"}) for record in runs[:20]]
    pd.testing.assert_frame_equal(campaign([*few, *runs]), campaign(runs))


@pytest.mark.parametrize("name", LLM)
def test_runs_that_failed_or_diverged_are_not_drawn(name: str, runs: list[Record]) -> None:
    """Those at the rate that is not chosen, so that the choice stays."""
    spoilt: Callable[[Record, str], Record] = lambda record, status: Record(  # noqa: E731
        kind="llm",
        config=record.config,
        status=status,
        reason="The loss was not finite.",  # type: ignore[arg-type]
    )
    kept = [record for record in runs if record.config.get("learning_rate", RATES[0]) == RATES[0]]
    lost = [
        spoilt(record, "failed" if place % 2 else "diverged")
        for place, record in enumerate(runs)
        if record.config.get("learning_rate") == RATES[1]
    ]
    pd.testing.assert_frame_equal(figure(name).table([*kept, *lost]), figure(name).table(kept))


@pytest.mark.parametrize("status", ["diverged", "failed"])
def test_an_arm_gains_nothing_by_draws_that_it_lost(status: Literal["diverged", "failed"], runs: list[Record]) -> None:
    """At every rate one draw was lost."""
    lost = [
        dataclasses.replace(record, status=status)
        if (arm(record), record.config["task"], record.config.get("seed")) == ("full", "rte", 1)
        else record
        for record in runs
    ]
    table = figure("table-1").table(lost)
    assert not ((table["arm"] == "full") & (table["task"] == "rte")).any()
    texts = figure("table-1").draw(table)
    assert isinstance(texts, pd.DataFrame)
    assert row(texts[2:], arm="full")[["rte", "mean"]].tolist() == ["-", "-"]


@pytest.mark.parametrize("name", LLM)
def test_a_campaign_that_has_just_begun_is_drawn(name: str, runs: list[Record]) -> None:
    """One task, two arms and one draw: drawn, or refused for want of records."""
    begun = [
        record
        for record in runs
        if arm(record) in ("lora", "cola, length 2") and (record.config["task"], record.config["seed"]) == ("rte", 0)
    ]
    frame = figure(name).table(begun)
    if name in ("controls", "rank-step-down", "knot-policy", "table-3"):
        assert frame.empty
        return
    with style():
        figure(name).draw(frame)
    assert "nan" not in figure(name).caption(frame)


def test_a_figure_without_its_arms_is_refused(runs: list[Record], tmp_path: Any) -> None:
    with pytest.raises(NoRecordError, match="'knot-policy' found no record"):
        figure("knot-policy").write([record for record in runs if arm(record) == "lora"], tmp_path)
