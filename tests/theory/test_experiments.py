"""The experiments leave whole, repeatable records. Page: theory/README.md."""

import json
import math
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from scipy import stats

from colarepro.errors import ColaError, exit_cleanly
from colarepro.results import Record, Store, mean_interval
from colarepro.theory import experiments, synthetic
from colarepro.theory.experiments import Settings, run_all
from colarepro.theory.table import tables

TINY = Settings(seeds=2, steps=40, generalization_seeds=2, generalization_steps=12, longest_chain=3, horizon=12)
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, list[Record]]:
    store = Store(tmp_path_factory.mktemp("theory"))
    return store, run_all(TINY, store)


def test_every_record_is_stored_and_json_plain(finished: tuple[Store, list[Record]]) -> None:
    store, records = finished
    assert {r.config["experiment"] for r in records} == {"convergence", "generalization", "bound"}
    assert len({r.identity for r in records}) == len(records)
    for record in records:
        assert record.kind == "theory"
        assert record.config == json.loads(json.dumps(record.config))
        assert store.get("theory", record.config) is not None
        for name, curve in record.curves.items():
            if name != "step":
                assert len(curve) == len(record.config["seeds"])
                assert all(len(seed) == len(record.curves["step"]) for seed in curve)


def test_what_the_store_answers_is_not_run_again(
    finished: tuple[Store, list[Record]], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, records = finished
    monkeypatch.setattr(experiments, "minimize", lambda *_, **__: pytest.fail("it ran again"))
    monkeypatch.setattr(experiments, "average_gap", lambda *_, **__: pytest.fail("it ran again"))
    again = run_all(TINY, store)
    assert [r.to_json() for r in again] == [r.to_json() for r in records]


def test_the_same_seeds_give_the_same_numbers(finished: tuple[Store, list[Record]], tmp_path: Path) -> None:
    again = run_all(TINY, Store(tmp_path))
    assert [(r.scores, r.curves) for r in again] == [(r.scores, r.curves) for r in finished[1]]


def test_all_arms_of_an_experiment_spend_the_same_gradients(finished: tuple[Store, list[Record]]) -> None:
    spent = {r.costs["gradients"] for r in finished[1] if r.config["experiment"] == "convergence"}
    assert spent == {float(TINY.seeds * TINY.steps)}


def test_tuned_rates_come_from_the_grid_and_from_other_seeds(finished: tuple[Store, list[Record]]) -> None:
    tuned = [r for r in finished[1] if "learning_rate" in r.scores]
    assert tuned
    for record in tuned:
        descent = record.config["method"]["descent"]
        assert record.scores["learning_rate"] in descent["learning_rates"]
        assert not set(descent["tuned_on_seeds"]) & set(record.config["seeds"])


def test_no_bound_is_broken(finished: tuple[Store, list[Record]]) -> None:
    bounds = [r for r in finished[1] if r.config["experiment"] == "bound"]
    assert len(bounds) == 12
    assert all(r.scores["violations"] == 0 and 0 < r.scores["tightest_ratio"] <= 1 for r in bounds)
    (open_loop, *_) = [r for r in finished[1] if "bound" in r.curves]
    assert all(
        excess <= bound
        for row, bounds in zip(open_loop.curves["excess"], open_loop.curves["bound"], strict=True)
        for excess, bound in zip(row[1:], bounds[1:], strict=True)
    )


def test_tables_show_every_record(finished: tuple[Store, list[Record]]) -> None:
    console = Console(width=200, record=True, quiet=True)
    found = tables([Record.from_json(r.to_json(), "memory") for r in finished[1]])
    assert [table.row_count for table in found] == [22, 5, 12]
    for table in found:
        console.print(table)


def test_a_diverged_arm_is_a_record_with_a_reason(tmp_path: Path) -> None:
    from colarepro.theory.experiments import Arm, Job
    from colarepro.theory.methods import Full, GradientDescent

    spec = experiments.CONVERGENCE[0]
    arm = Arm("too long a step", Full(GradientDescent(50.0)))
    config = {
        "experiment": "convergence",
        "problem": spec.config(),
        **arm.config(),
        "radius": 1.0,
        "steps": 40,
        "every": 5,
        "seeds": [0, 1],
    }
    record = Job(config, experiments._convergence_answer(spec, arm, config)).answer()
    assert record.status == "diverged"
    assert record.reason == "2 of 2 seeds diverged."
    assert math.isnan(record.curves["excess"][0][-1])
    stored = Store(tmp_path)
    stored.put(record)
    assert len(tables([record])) == len(tables(list(stored))) == 3


def test_intervals_are_students() -> None:
    values = [1.0, 2.0, 4.0, 9.0]
    low, high = stats.t.interval(0.95, 3, loc=np.mean(values), scale=stats.sem(values))
    found = mean_interval(values)
    assert (found.mean, found.low, found.high) == pytest.approx((4.0, low, high))
    assert mean_interval([1.0, 100.0], geometric=True).mean == pytest.approx(10.0)
    assert math.isnan(mean_interval([3.0]).low)
    assert mean_interval([1.0, math.inf]).mean == math.inf


@pytest.mark.parametrize("settings", [Settings(seeds=0), Settings(steps=5), Settings(longest_chain=13)])
def test_bad_settings_are_refused_before_any_work(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(ColaError, match="xpected at"):
        run_all(settings, Store(tmp_path / "none"))
    assert not (tmp_path / "none").exists()


def test_the_command_says_bad_settings_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "argv", ["synthetic", "--steps", "1", "--output", str(tmp_path / "none")])
    with pytest.raises(SystemExit) as left:
        exit_cleanly(synthetic.main)
    assert left.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("colarepro: Expected")
    assert error.count("\n") == 1
    assert not (tmp_path / "none").exists()


def test_pages_and_tests_name_each_other() -> None:
    pages = sorted((ROOT / "theory").glob("*.md"))
    assert len(pages) >= 4
    for page in pages:
        named = re.findall(r"tests/theory/\w+\.py", page.read_text())
        assert named, f"{page.name} names no test"
        assert all((ROOT / name).exists() for name in named), page.name
    for test in sorted((ROOT / "tests/theory").glob("test_*.py")):
        named = re.findall(r"theory/[\w-]+\.md", test.read_text().split('"""')[1])
        assert named, f"{test.name} names no page"
        assert all((ROOT / name).exists() for name in named), test.name
