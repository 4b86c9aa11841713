"""The two files as a whole."""

from dataclasses import replace
from pathlib import Path

import pytest

from colarepro.claims import Arguments, write
from colarepro.errors import ColaError
from colarepro.ledger import Evidence, Reported, ledger, read_pools, report, sections
from colarepro.ledger.by_task import by_task
from colarepro.ledger.evidence import TASKS
from colarepro.ledger.row import Row, Section
from colarepro.results import Record, holm
from tests.ledger.conftest import ARMS, ROOT, evidence_of, made


def written(**changes: Path) -> dict[str, str]:
    folder = ROOT / "data"
    kept = {"records": "results", "theory": "theory", "reported": "reported.csv", "tasks": "tasks.csv"}
    benchmark = {"benchmark": ROOT / "benchmarks" / "training.jsonl"}
    return write(Arguments(**({name: folder / place for name, place in kept.items()} | benchmark | changes)))


def test_without_records_all_rows_stand_and_nothing_is_measured(tmp_path: Path) -> None:
    texts = written(records=tmp_path, theory=tmp_path, benchmark=tmp_path / "absent")
    lines = [line for line in texts["CLAIMS.md"].splitlines() if line.startswith("| ") and "**" in line]
    assert len(lines) > 60
    assert all("**not measured**" in line for line in lines)
    assert "no records of language models yet" in texts["REPORT.md"]


def test_every_line_of_a_table_has_as_many_cells(reported: Reported) -> None:
    evidence = evidence_of({task: {"lora": 0.6, "cola, length 2": 0.62} for task in TASKS})
    text = ledger(sections(evidence, reported, [], Path("absent")), evidence)
    for part in text.split("\n\n"):
        if part.startswith("|"):
            assert len({line.replace("\\|", "").count("|") for line in part.splitlines()}) == 1


def test_the_table_by_task_is_that_of_the_comparisons() -> None:
    by_arm = {"lora": 0.6, "cola, length 2": 0.62, "lora-restart, length 2": 0.5}
    evidence = evidence_of({"rte": by_arm, "wic": by_arm, "cb": {"lora": 0.6, "cola, length 2": 0.5}})
    heads, *rows = by_task(evidence)
    assert heads == ["first - second", "cb", "wic", "rte"]
    assert [row[0] for row in rows] == [
        "`cola, length 2` - `lora`",
        "`cola, length 2` - `lora-restart, length 2`",
        "`lora-restart, length 2` - `lora`",
    ]
    assert rows[1][1] == "—"
    found = evidence.comparisons("cola, length 2", "lora")
    adjusted = holm([found[task].p for task in ("cb", "wic", "rte")])
    for cell, task, p in zip(rows[0][1:], ("cb", "wic", "rte"), adjusted, strict=True):
        comparison = found[task]
        assert cell.startswith(f"{comparison.difference:+.2f} [{comparison.low:.2f}, {comparison.high:.2f}], p {p:.3f}")


def test_a_single_draw_has_no_interval_and_earns_no_word(reported: Reported) -> None:
    evidence = evidence_of({"rte": {"lora": 0.6, "cola, length 2": 0.9}}, draws=1)
    judged = sections(evidence, reported, [], Path("absent"))
    text = ledger(judged, evidence) + report(judged, evidence, [])
    assert "interval unknown" in text
    assert " nan" not in text
    assert "[nan" not in text
    assert {row.verdict for row in judged[0].rows} == {"cannot tell at this n", "not measured"}


def test_runs_that_were_lost_are_counted_with_their_reasons(reported: Reported) -> None:
    lost = [
        replace(record, status="diverged", reason="The loss was not finite at step 3.")
        for record in made("lora", 0.5, learning_rate=1.0)
    ]
    lost += [replace(record, status="failed", reason="No memory.") for record in made("lora", 0.5, learning_rate=2.0)]
    chains = [record for rate in (1e-3, 1.0, 2.0) for record in made("cola, length 2", 0.6, learning_rate=rate)]
    evidence = Evidence([*made("lora", 0.6), *chains, *lost])
    text = report(sections(evidence, reported, [], Path("absent")), evidence, [])
    assert "30 runs (5 diverged, 5 failed, most often: The loss was not finite at step 3 (5); No memory (5))" in text
    assert set(evidence.comparisons("cola, length 2", "lora")) == {"rte"}


@pytest.mark.parametrize(
    ("others", "said"),
    [
        (0, "shared a GPU. Tasks follow"),
        (
            1,
            "shared a GPU. 1 more run of another model, arithmetic or draw of the data is left out, since",
        ),
        (
            3,
            "shared a GPU. 3 more runs of another model, arithmetic or draw of the data are left out, since",
        ),
    ],
)
def test_runs_that_were_left_out_are_counted(others: int, said: str, reported: Reported) -> None:
    evidence = Evidence([*made("lora", 0.6), *made("lora", 0.6, dtype="float32")[:others]])
    assert said in report(sections(evidence, reported, [], Path("absent")), evidence, [])


def test_arms_that_a_task_lacks_are_named(reported: Reported) -> None:
    """One that is not there, or with one learning rate of two; not one that most tasks lack."""
    arms = ("lora", "cola, length 2", "cola, length 3")
    records = [
        record
        for task in ("cb", "wic", "rte")
        for arm in arms
        for rate in (1e-3, 1e-4)
        for record in made(arm, 0.6, task, learning_rate=rate)
        if (task, arm) != ("wic", "cola, length 3") and (task, arm, rate) != ("cb", "cola, length 2", 1e-4)
    ]
    evidence = Evidence([*records, *made("zero-shot", 0.5, "rte")])
    text = report(sections(evidence, reported, [], Path("absent")), evidence, [])
    assert "and left out: cb: `cola, length 2`; wic: `cola, length 3`. BoolQ" in text
    assert set(evidence.comparisons("cola, length 2", "lora")) == {"wic", "rte"}


def test_arms_at_an_end_of_the_grid_are_named(reported: Reported) -> None:
    """On two tasks of three; one that is there on a single task is no pattern."""
    best = {"lora": (5e-4, 5e-4, 1e-3), "cola, length 2": (1e-3, 1e-3, 5e-4), "cola, length 3": (1e-4, 1e-4, 1e-4)}
    records = [
        replace(record, scores=record.scores | {"dev_loss": abs(rate - best[arm][place])})
        for place, task in enumerate(("cb", "wic", "rte"))
        for arm in best
        for rate in (1e-3, 5e-4, 1e-4)
        for record in made(arm, 0.6, task, learning_rate=rate)
    ]
    once = [record for rate in (1e-3, 5e-4, 1e-4) for record in made("lora-restart, length 2", 0.6, learning_rate=rate)]
    evidence = Evidence([*records, *once, *made("zero-shot", 0.5)])
    text = report(sections(evidence, reported, [], Path("absent")), evidence, [])
    assert "dev chose the highest for `cola, length 2` (2 of 3) and the lowest for `cola, length 3` (3 of 3). " in text
    only = Evidence(record for record in records if record.config["method"] == "lora")
    assert "The grid ends early" not in report(sections(only, reported, [], Path("absent")), only, [])


def test_arms_with_the_same_answers_have_nothing_to_detect(reported: Reported) -> None:
    lora = made("lora", 0.6)
    same = [replace(record, config=record.config | ARMS["cola, length 2"]) for record in lora]
    evidence = Evidence([*lora, *same])
    judged = sections(evidence, reported, [], Path("absent"))
    assert "+0.00 [0.00, 0.00] points; Holm p 1.000; every answer the same" in ledger(judged, evidence)
    assert by_task(evidence)[1][1] == "+0.00 [0.00, 0.00], p 1.000; no difference"
    assert "To be found" not in report(judged, evidence, [])


def test_digits_count_with_the_theory() -> None:
    rows = [
        Row("a", "", "", "", "", "supported", scope, "", 0.0, "")
        for scope in ("direction on scikit-learn's digits", "on SmolLM2-135M")
    ]
    text = report([Section("RAC-LoRA's tables", "", rows)], Evidence(made("lora", 0.6)), [])
    assert "language models: 1 supported; theory: 1 supported." in text


def test_one_task_is_no_mean(reported: Reported) -> None:
    evidence = evidence_of({"rte": {"lora": 0.6, "cola, length 2": 0.85}})
    text = report(sections(evidence, reported, [], Path("absent")), evidence, [])
    assert "10 runs (all finished) of 2 arms on 1 task (rte) over 5 draws" in text
    assert "points on rte alone.\n" in text


def test_the_ledger_says_which_model_it_speaks_of(reported: Reported) -> None:
    evidence = evidence_of({"rte": {"lora": 0.6, "cola, length 2": 0.62}})
    text = ledger(sections(evidence, reported, [], Path("absent")), evidence)
    assert "Of the papers' models, OPT-1.3B, Llama-2-7B and RoBERTa-base were not run." in text
    assert "direction on SmolLM2-135M" in text


def test_what_was_not_run_or_measured_follows_the_records(reported: Reported) -> None:
    campaign = [*made("lora", 0.6, draws=3), *made("cola, length 2", 0.6, draws=3)]

    def texts(records: list[Record]) -> str:
        evidence = Evidence(records)
        judged = sections(evidence, reported, [], Path("absent"))
        return report(judged, evidence, []) + ledger(judged, evidence)

    text = texts(campaign)
    assert "OPT-1.3B and Llama-2-7B were not run, for want of weights" in text
    assert "Intruder dimensions, sharpness and shifting data were not measured" in text
    assert "no records of the theory" in text
    assert "Five draws" not in text
    watched = [replace(record, kind="anatomy", scores=record.scores | {"intruders_last": 1.0}) for record in campaign]
    opt = made("lora", 0.6, draws=1, model="facebook/opt-1.3b")
    text = texts([*campaign, *watched, *opt])
    assert "Llama-2-7B was not run, for want of weights" in text
    assert "Of the papers' models, Llama-2-7B and RoBERTa-base were not run." in text
    assert "9,427. Sharpness and shifting data were not measured" in text
    llama = made("lora", 0.6, draws=1, model="meta-llama/Llama-2-7b-hf")
    assert "for want of weights" not in texts([*campaign, *opt, *llama])


@pytest.mark.parametrize(
    ("cola", "said"),
    [(0.85, "COLA exceeds LoRA: +"), (0.35, "LoRA exceeds COLA: -"), (0.6, "Whether COLA exceeds LoRA cannot be told")],
)
def test_the_report_says_what_the_records_do(cola: float, said: str, reported: Reported) -> None:
    evidence = evidence_of({task: {"lora": 0.6, "cola, length 2": cola} for task in TASKS})
    text = report(sections(evidence, reported, [], Path("absent")), evidence, [])
    assert f"\n1. {said}" in text
    assert "70 runs (all finished) of 2 arms on 7 tasks" in text
    assert "{" not in text
    assert len(text.split()) < 800


def test_broken_numbers_are_named(tmp_path: Path) -> None:
    with pytest.raises(ColaError, match="could not be read"):
        written(reported=tmp_path / "nothing.csv")
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ColaError, match="has the columns a, b; expected source"):
        written(reported=tmp_path / "other.csv")


@pytest.mark.parametrize("text", [None, "", "a,b\n1,2\n", "task,validation_rows\nrte,many\n", "task\nrte\n"])
def test_a_broken_table_of_tasks_is_named(text: str | None, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "tasks.csv").write_text(text)
    with pytest.raises(ColaError, match=r"The table of tasks .*tasks\.csv could not be read: "):
        read_pools(tmp_path / "tasks.csv")


def test_pools_are_those_of_the_committed_table() -> None:
    assert read_pools(ROOT / "data" / "tasks.csv")["rte"] == 277


def test_a_number_that_is_not_reported_is_named(reported: Reported) -> None:
    with pytest.raises(ColaError, match="0 numbers are reported for cola, qqp; expected one"):
        reported.one(source="cola", task="qqp")
