"""The experiments leave whole, repeatable records. Page: theory/README.md."""

import io
import json
import re
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from scipy import stats

from colarepro.errors import ColaError, exit_cleanly
from colarepro.results import Record, Store, mean_interval
from colarepro.theory import synthetic
from colarepro.theory.experiments import EXPERIMENTS, QUICK, Settings, run_all
from colarepro.theory.experiments.convergence import Arm, arms_of
from colarepro.theory.experiments.counterexample import counterexample
from colarepro.theory.experiments.job import Job, config_of, costs_of, curves_of, diverged, job, record_of, run
from colarepro.theory.experiments.theorem import SMALL, average_gaps
from colarepro.theory.method import minimize
from colarepro.theory.methods import Cola, FrankWolfe, Full, GradientDescent
from colarepro.theory.problems import RegressionSpec
from colarepro.theory.table import tables

TINY = Settings(seeds=2, steps=80, points=4, horizon=8, longest_chain=2, rates=(0.03, 0.1))
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, list[Record]]:
    store = Store(tmp_path_factory.mktemp("theory"))
    return store, run_all(TINY, store)


def test_every_record_is_stored_and_json_plain(finished: tuple[Store, list[Record]]) -> None:
    store, records = finished
    assert {r.config["experiment"] for r in records} == {*EXPERIMENTS, "path"}
    assert len({r.identity for r in records}) == len(records)
    for record in records:
        assert record.kind == "theory"
        assert record.config == json.loads(json.dumps(record.config))
        assert store.get("theory", record.config) is not None
        for name, curve in record.curves.items():
            if name != "step":
                assert len(curve) in (1, len(record.config["seeds"])), name
                assert all(len(seed) == len(record.curves["step"]) for seed in curve), name


def test_what_the_store_answers_is_not_run_again(finished: tuple[Store, list[Record]]) -> None:
    store, records = finished

    def forbidden() -> list[Record]:
        pytest.fail("it ran again")

    jobs = [Job(one.configs, forbidden) for experiment in EXPERIMENTS.values() for one in experiment(TINY)]
    assert [r.to_json() for r in run(jobs, store)] == [r.to_json() for r in records]


def test_the_same_seeds_give_the_same_numbers_in_one_process_and_in_two(
    finished: tuple[Store, list[Record]], tmp_path: Path
) -> None:
    again = run(counterexample(TINY), Store(tmp_path), workers=2)
    first = [record for record in finished[1] if record.config["experiment"] == "counterexample"]
    assert [(r.config, r.scores, str(r.curves)) for r in again] == [(r.config, r.scores, str(r.curves)) for r in first]


def test_a_record_holds_the_curves_of_its_own_seeds(finished: tuple[Store, list[Record]]) -> None:
    """An answer is what `minimize` gives for the recorded configuration, also for the second seed alone."""
    (record,) = [
        r
        for r in finished[1]
        if r.config["experiment"] == "convergence"
        and r.config["problem"]["name"] == "regression"
        and r.config["label"] == "COLA, 8 links"
    ]
    fields = {name: value for name, value in record.config["problem"].items() if name != "name"}
    problem = RegressionSpec(**fields).draw([1])
    alone = minimize(problem, Cola(length=8), steps=TINY.steps, seeds=[1], every=record.config["every"])
    np.testing.assert_allclose(record.curves["excess"][1], np.array(alone.trace.excess)[:, 0], rtol=1e-6)


def test_gradient_methods_spend_the_same_gradients(finished: tuple[Store, list[Record]]) -> None:
    spent = {
        record.costs["gradients"]
        for record in finished[1]
        if record.config["experiment"] == "convergence" and record.config["method"]["name"] != "idealized-cola"
    }
    assert spent == {float(TINY.steps)}


def test_tuned_rates_come_from_the_grid_and_from_other_seeds(finished: tuple[Store, list[Record]]) -> None:
    tuned = [r for r in finished[1] if "learning_rate" in r.scores]
    assert {r.config["experiment"] for r in tuned} == {"convergence", "beyond", "digits"}
    for record in tuned:
        assert record.config["learning_rates"] == list(TINY.rates)
        assert record.scores["learning_rate"] in TINY.rates
        assert not set(record.config["tuned_on_seeds"]) & set(record.config["seeds"])


def test_the_tuned_rate_is_the_best_of_the_grid() -> None:
    spec = RegressionSpec(outputs=5, inputs=6, rank=2)
    rates = (1e-4, 0.05, 1e6)
    method, chosen = Arm("full", Full(), rates).chosen(spec, 60)
    assert chosen == {"learning_rate": 0.05}
    assert method.descent.learning_rate == 0.05


def test_equal_flops_are_equal(finished: tuple[Store, list[Record]]) -> None:
    generalization = [r for r in finished[1] if r.config["experiment"] == "generalization"]
    chain = next(r for r in generalization if r.config["label"] == "COLA, rank-1 links")
    for record in generalization:
        if record.config["label"] == "LoRA, summed rank, equal FLOPs":
            assert record.costs["flops"] == pytest.approx(chain.costs["flops"], rel=0.02)
        if record.config["label"] == "LoRA, summed rank" and record.config["length"] == 2:
            assert record.costs["flops"] > 1.1 * chain.costs["flops"]


def test_the_theorem_is_measured_as_a_single_run_would_be() -> None:
    """A block of many T at once against one run for one T, its gaps from the trace."""
    problem = SMALL.draw([0])
    method = FrankWolfe(radius=2.0, rule="fixed")
    averages, errors = average_gaps(problem, method, np.arange(1, 13))
    for steps in (1, 5, 12):
        alone = minimize(problem, method, steps=steps, radius=2.0)
        assert averages[steps - 1] == pytest.approx(np.mean(alone.trace.gap[:-1]), rel=1e-12)
    np.testing.assert_allclose(errors, 0, atol=1e-12)


def test_no_bound_is_broken(finished: tuple[Store, list[Record]]) -> None:
    for record in finished[1]:
        if record.config["experiment"] in ("theorem", "frank-wolfe", "pursuit"):
            assert record.scores["violations"] == 0, record.config
            assert 0 < record.scores["tightest_ratio"] <= 1


def test_tables_show_every_arm(finished: tuple[Store, list[Record]]) -> None:
    console = Console(width=250, file=io.StringIO(), record=True)
    found = tables([Record.from_json(r.to_json(), "memory") for r in finished[1]])
    for table in found:
        console.print(table)
    text = console.export_text()
    arms = {r.config["label"] for r in finished[1] if r.config["experiment"] in ("convergence", "counterexample")}
    assert all(arm in text for arm in arms)
    assert [table.row_count for table in found] == [19, 8, 9, 8, 21]


def test_a_diverged_arm_is_a_record_with_a_reason(tmp_path: Path) -> None:
    spec = RegressionSpec(outputs=5, inputs=6, rank=2)
    method = Full(GradientDescent(50.0))
    config = config_of("convergence", spec, "too long a step", method, [0, 1], steps=40)

    def answer() -> Record:
        result = minimize(spec.draw([0, 1]), method, steps=40, every=5)
        curves = curves_of(result, ("excess",))
        return record_of(config, curves, {"excess_mean": np.nan}, diverged=diverged(result), costs=costs_of(result))

    (record,) = run([job(config, answer)], Store(tmp_path))
    assert (record.status, record.reason) == ("diverged", "2 of 2 seeds diverged.")
    assert np.isfinite(record.curves["excess"][0][0])
    (stored,) = Store(tmp_path)
    console = Console(width=200, file=io.StringIO(), record=True)
    console.print(tables([stored])[0])
    assert "2 of 2 seeds diverged." in console.export_text()


def test_nothing_already_answered_is_lost_when_a_question_fails(tmp_path: Path) -> None:
    one, two, *_ = counterexample(TINY)
    with pytest.raises(ZeroDivisionError):
        run([one, replace(two, answer=partial(divmod, 1, 0))], Store(tmp_path))
    assert [record.config for record in Store(tmp_path)] == one.configs


def test_every_problem_gets_lora_cola_and_full_fine_tuning() -> None:
    for spec in (RegressionSpec(),):
        labels = {arm.label for arm in arms_of(spec, 480, QUICK.rates)}
        assert {"full", "LoRA, rank 1", "COLA, 8 links", "RAC-LoRA", "restart without merge, AdamW"} <= labels


def test_intervals_are_students() -> None:
    values = [1.0, 2.0, 4.0, 9.0]
    low, high = stats.t.interval(0.95, 3, loc=np.mean(values), scale=stats.sem(values))
    found = mean_interval(values)
    assert (found.mean, found.low, found.high) == pytest.approx((4.0, low, high))
    assert mean_interval([1.0, 100.0], geometric=True).mean == pytest.approx(10.0)
    assert np.isnan(mean_interval([3.0]).low)
    assert mean_interval([1.0, np.inf]).mean == np.inf


@pytest.mark.parametrize(
    "settings",
    [
        Settings(seeds=1),
        Settings(steps=5),
        Settings(horizon=1),
        Settings(points=0),
        Settings(longest_chain=13),
        Settings(rates=()),
        Settings(rates=(0.0,)),
    ],
)
def test_bad_settings_are_refused_before_any_work(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(ColaError, match="expected"):
        run_all(settings, Store(tmp_path / "none"))
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("words", [["--steps", "1"], ["--quick", "--full"]])
def test_the_command_says_what_is_wrong_in_one_line(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "argv", ["synthetic", *words, "--output", str(tmp_path / "none")])
    with pytest.raises(SystemExit) as left:
        exit_cleanly(synthetic.main)
    assert left.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("colarepro: ")
    assert "expected" in error
    assert error.count("\n") == 1
    assert not (tmp_path / "none").exists()


def test_pages_and_tests_name_each_other() -> None:
    pages = sorted((ROOT / "theory").glob("*.md"))
    assert len(pages) >= 8
    for page in pages:
        named = re.findall(r"tests/theory/\w+\.py", page.read_text())
        assert named, f"{page.name} names no test"
        assert all((ROOT / name).exists() for name in named), page.name
    for test in sorted((ROOT / "tests/theory").glob("test_*.py")):
        named = re.findall(r"theory/[\w-]+\.md", test.read_text().split('"""')[1])
        assert named, f"{test.name} names no page"
        assert all((ROOT / name).exists() for name in named), test.name


@pytest.mark.parametrize("change", [{"seeds": 10**7}, {"horizon": 10**6}, {"steps": 10**9}, {"points": 10**9}])
def test_absurd_settings_are_refused(change: dict[str, int]) -> None:
    with pytest.raises(ColaError, match="expected"):
        Settings(**change).check()


def test_every_step_of_pursuit_is_held_to_the_bound_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step that gains too little after one that gained much is a violation, though the product is below its bound."""

    module = sys.modules["colarepro.theory.experiments.pursuit"]

    def measured(excess: list[float]) -> float:
        def fake(*arguments: Any, **options: Any) -> Any:
            run = minimize(*arguments, **options)
            run.trace.excess = [np.full_like(run.trace.excess[0], value) for value in excess]
            run.trace.step = list(range(len(excess)))
            return run

        monkeypatch.setattr(module, "minimize", fake)
        first = next(iter(EXPERIMENTS["pursuit"](replace(TINY, seeds=1))))
        return first.answer()[0].scores["violations"]

    assert measured([1.0, 0.5, 0.25]) == 0
    assert measured([1.0, 0.5, 0.4995]) == 1
