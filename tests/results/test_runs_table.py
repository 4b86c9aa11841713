"""The table of runs, the arms' names, and the choice of the learning rate."""

from typing import Any

import numpy as np
import pytest

from colarepro.results import Record, arm, runs_table, selected

RATES = (1e-3, 5e-4, 1e-4)


def record(rate: float | None, draw: int, dev_loss: float, accuracy: float = 0.5, **changes: Any) -> Record:
    trained = {} if rate is None else {"learning_rate": rate, "seed": draw}
    config = {"model": "m", "task": "rte", "method": "lora", "data_seed": draw} | trained
    status = changes.pop("status", "done")
    scores = {"dev_loss": dev_loss, "test_accuracy": accuracy} if status != "failed" else {}
    return Record("llm", config | changes, status=status, scores=scores, costs={"seconds_train": 2.0})


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"method": "full"}, "full"),
        ({"adapter": {"rank": 16}}, "lora, rank 16"),
        ({"adapter": {"rank": 8, "variant": "dora"}}, "lora, dora"),
        ({"method": "cola", "chain": {"length": None, "knot_epochs": []}}, "cola"),
        ({"method": "cola", "chain": {"length": 2, "initialization": "same"}}, "cola, length 2, same A"),
        ({"method": "cola", "chain": {"knot_epochs": [3], "ranks": [8, 2]}}, "cola, knot 3, ranks 8-2"),
        ({"method": "cola", "chain": {"knot_steps": [10, 20], "fold": "stack"}}, "cola, knots 10-20 steps, fold stack"),
        (
            {"method": "cola", "chain": {"knot_epochs": [1], "learning_rate": "restart", "initialization": "same"}},
            "cola, knot 1, restart LR, same A",
        ),
    ],
)
def test_an_arm_is_named_by_what_sets_it_apart(changes: dict[str, Any], name: str) -> None:
    assert arm(record(1e-3, 0, 1.0, **changes)) == name


def test_a_row_a_run_with_its_scores_and_costs() -> None:
    frame = runs_table(
        [record(1e-3, 1, 0.7, 0.6), record(None, 0, 0.9, method="zero-shot"), Record("theory", {"experiment": "x"})]
    )
    assert list(frame["arm"]) == ["lora", "zero-shot"]
    assert list(frame["test_accuracy"]) == [0.6, 0.5]
    assert list(frame["seconds_train"]) == [2.0, 2.0]
    assert np.isnan(frame["learning_rate"][1])
    assert frame["seed"].isna().tolist() == [False, True]


def test_no_records_give_no_rows() -> None:
    assert runs_table([]).empty
    assert selected(runs_table([])).empty


def test_dev_chooses_the_learning_rate_and_test_does_not() -> None:
    losses = {1e-3: (0.9, 0.3), 5e-4: (0.5, 0.6), 1e-4: (0.8, 0.8)}  # means 0.6, 0.55, 0.8
    accuracies = {1e-3: 0.9, 5e-4: 0.1, 1e-4: 0.8}
    all_runs = [record(rate, draw, losses[rate][draw], accuracies[rate]) for rate in RATES for draw in range(2)]
    chosen = selected(runs_table(all_runs))
    assert chosen["learning_rate"].tolist() == [5e-4, 5e-4]
    assert chosen["data_seed"].tolist() == [0, 1]


def test_every_task_and_arm_has_its_own_choice_and_what_reads_none_passes() -> None:
    """In any order of the records; two equal means give the smaller learning rate."""
    all_runs = [record(rate, draw, abs(rate - 5e-4), task="rte") for rate in RATES for draw in range(2)]
    all_runs += [record(rate, draw, abs(rate - 1e-3), task="wic") for rate in RATES for draw in range(2)]
    all_runs += [record(rate, draw, 0.5, task="rte", method="full") for rate in RATES for draw in range(2)]
    all_runs += [record(None, draw, 3.0, method="zero-shot") for draw in range(2)]
    for order in (all_runs, all_runs[::-1]):
        chosen = selected(runs_table(order))
        found = chosen.groupby(["task", "arm"])["learning_rate"].unique()
        assert found["rte", "lora"].tolist() == [5e-4]
        assert found["wic", "lora"].tolist() == [1e-3]
        assert found["rte", "full"].tolist() == [1e-4]
        assert np.isnan(found["rte", "zero-shot"]).all()
        assert chosen.groupby(["task", "arm"]).size().tolist() == [2, 2, 2, 2]


@pytest.mark.parametrize("lost", ["diverged", "failed"])
def test_a_learning_rate_that_lost_a_run_is_not_chosen_for_the_rest(lost: str) -> None:
    all_runs = [record(1e-3, 0, 0.1), record(1e-3, 1, 0.1, status=lost)]
    all_runs += [record(1e-4, draw, 0.6) for draw in range(2)]
    assert selected(runs_table(all_runs))["learning_rate"].tolist() == [1e-4, 1e-4]


def test_an_arm_that_diverged_everywhere_is_still_there() -> None:
    chosen = selected(runs_table([record(rate, 0, 0.1, status="diverged") for rate in RATES]))
    assert chosen[["status", "learning_rate"]].values.tolist() == [["diverged", 1e-4]]


@pytest.mark.parametrize("lost", ["diverged", "failed", "not tried"])
@pytest.mark.parametrize("everywhere", [True, False])
def test_an_arm_is_whole_if_it_has_every_draw_that_any_rate_tried(lost: str, everywhere: bool) -> None:
    """Draw 2 is lost at the better rate, and at the other one or not; another arm and task are not concerned."""
    all_runs = [record(rate, draw, rate) for rate in RATES[:2] for draw in range(3)]
    for place, run in enumerate(all_runs):
        if run.config["seed"] == 2 and (everywhere or run.config["learning_rate"] == 5e-4):
            all_runs[place] = record(run.config["learning_rate"], 2, 0.0, status=lost)
    all_runs = [run for run in all_runs if run.status != "not tried"]
    if lost == "not tried" and everywhere:
        all_runs.append(record(1e-4, 2, 0.0, status="failed"))
    all_runs += [record(1e-3, draw, 0.5, task="wic") for draw in range(2)]
    all_runs += [record(None, draw, 0.5, method="zero-shot") for draw in range(3)]
    chosen = selected(runs_table(all_runs))
    whole = chosen.groupby(["task", "arm"])["whole"].unique()
    assert whole["rte", "lora"].tolist() == [not everywhere]
    assert whole["wic", "lora"].tolist() == whole["rte", "zero-shot"].tolist() == [True]
    assert set(chosen.columns) == {*runs_table(all_runs).columns, "whole"}


def test_an_arm_with_fewer_rates_than_another_is_not_whole() -> None:
    """One that had a rate, or a draw of one, less. What failed was tried, other rates are as good, and a rate tried
    with fewer epochs as well is no second one. Another task is not concerned."""
    arms = ("lora", "full", "cola", "relora")
    all_runs = [record(rate, draw, rate, method=method) for method in arms for rate in RATES for draw in range(2)]
    all_runs += [record(rate / 9, draw, 0.1, method="rac-lora") for rate in RATES for draw in range(2)]
    all_runs += [record(1e-3 / 9, draw, 0.9, method="rac-lora", epochs=3) for draw in range(2)]
    all_runs += [record(1e-3, draw, 0.9, epochs=3) for draw in range(2)]
    all_runs += [record(1e-3, draw, 0.1, task="wic") for draw in range(2)]
    lost = {("full", 5e-4, 0), ("full", 5e-4, 1), ("cola", 1e-4, 1)}
    kept = [
        run for run in all_runs if (run.config["method"], run.config["learning_rate"], run.config["seed"]) not in lost
    ]
    place = kept.index(record(1e-3, 1, 1e-3, method="relora"))
    kept[place] = record(1e-3, 1, 0.0, method="relora", status="failed")
    for runs, whole in ((all_runs, [True] * 4), (kept, [False, False, True, True])):
        found = selected(runs_table(runs)).groupby(["task", "arm"])["whole"].unique()
        assert [found["rte", name].tolist() for name in ("full", "cola", "lora", "relora")] == [[one] for one in whole]
        assert found["wic", "lora"].tolist() == [True]
    more = [*all_runs, *(record(1e-5, draw, 0.1) for draw in range(2))]
    found = selected(runs_table(more)).groupby(["task", "arm"])["whole"].unique()
    assert (found["rte", "lora"].tolist(), found["rte", "full"].tolist()) == ([True], [False])


def test_other_precision_is_another_cell_and_other_epochs_are_chosen_with_the_rate() -> None:
    all_runs = [record(1e-3, 0, 0.4, dtype="float32", epochs=5), record(1e-3, 0, 0.3, dtype="bfloat16", epochs=5)]
    all_runs.append(record(1e-3, 0, 0.2, dtype="bfloat16", epochs=3))
    chosen = selected(runs_table(all_runs))
    assert chosen[["dtype", "dev_loss"]].values.tolist() == [["bfloat16", 0.2], ["float32", 0.4]]
