"""The verdicts that planted effects earn."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from colarepro.errors import ColaError
from colarepro.ledger import (
    Evidence,
    Reported,
    chain_length,
    controls,
    costs,
    inside,
    rank_step_down,
    reruns,
    speed,
    table_1,
)
from colarepro.ledger.evidence import TASKS
from colarepro.ledger.row import Row, Section
from colarepro.ledger.sweeps import SWEEPS, command
from colarepro.ledger.wording import p_value
from colarepro.results import Record, arm, holm
from colarepro.runs.sweep import load_sweep
from tests.ledger.conftest import evidence_of, made

ABSENT = Path("absent")


def find(section: Section, claim: str) -> Row:
    (found,) = [row for row in section.rows if row.claim.startswith(claim)]
    return found


def test_gains_are_judged_by_their_size_only_where_it_is_certain(reported: Reported) -> None:
    """Half a point more is too little for WSC's certain 3.66 and open for CB's, which is from memory."""
    accuracies = {task: {"lora": 0.70, "cola, length 2": 0.705} for task in ("wsc", "cb")}
    accuracies["rte"] = {"lora": 0.70, "cola, length 2": 0.85}
    accuracies["wic"] = {"lora": 0.85, "cola, length 2": 0.70}
    section = table_1.section(evidence_of(accuracies), reported)
    assert find(section, "COLA exceeds LoRA on rte").verdict == "supported"
    assert find(section, "COLA exceeds LoRA on wic").verdict == "contradicted"
    assert find(section, "COLA exceeds LoRA on wsc").verdict == "contradicted"
    assert find(section, "COLA exceeds LoRA on cb").verdict == "cannot tell at this n"
    assert find(section, "COLA exceeds LoRA on sst2").verdict == "not measured"
    assert find(section, "COLA exceeds LoRA on every task").verdict == "contradicted"
    assert "+3.66 (certain)" in find(section, "COLA exceeds LoRA on wsc").reported
    assert "70.63 (doubtful)" in find(section, "COLA exceeds LoRA on multirc").reported


def test_llama_is_judged_by_its_own_records(reported: Reported) -> None:
    """They are fewer than the campaign's, and no gain is too little for the certain 3.61."""
    claim = "on Llama-2-7B, too"
    campaign = made("lora", 0.6) + made("cola, length 2", 0.6) + made("zero-shot", 0.5)
    row = find(table_1.section(Evidence(campaign), reported), claim)
    assert (row.verdict, row.command) == ("not measured", "colarepro sweep table2 --task rte")
    for gain, word in ((0.0, "contradicted"), (0.1, "supported")):
        llama = [
            record
            for arm, accuracy in (("lora", 0.7), ("cola, length 2", 0.7 + gain))
            for record in made(arm, accuracy, model="meta-llama/Llama-2-7b-hf", items=4000)
        ]
        evidence = Evidence([*campaign, *llama])
        row = find(table_1.section(evidence, reported), claim)
        assert (row.verdict, row.scope, row.seconds) == (word, "on Llama-2-7B", 25)
        assert row.n.startswith("5 draws")
        assert row.command == "colarepro sweep table2 --task rte"
        assert evidence.model == "SmolLM2-135M"


def test_a_claim_for_the_model_that_was_run_is_not_tested_by_direction_only(reported: Reported) -> None:
    records = made("lora", 0.6, model="facebook/opt-1.3b") + made("cola, length 2", 0.9, model="facebook/opt-1.3b")
    section = table_1.section(Evidence(records), reported)
    assert find(section, "COLA exceeds LoRA on rte").scope == "on OPT-1.3B"


def watched(arm: str, counts: Sequence[float], task: str = "rte", **changes: str) -> list[Record]:
    return [
        replace(record, kind="anatomy", scores=record.scores | {"intruders_last": count})
        for record, count in zip(made(arm, 0.5, task, draws=len(counts), **changes), counts, strict=True)
    ]


def test_intruders_are_those_of_the_watched_runs(reported: Reported) -> None:
    """Of the campaign's model, on tasks that both arms have, in draws that have all of these."""
    claim = "chains have more intruder dimensions"
    campaign = made("lora", 0.6)
    assert find(reruns.beyond_lora(Evidence(campaign), reported), claim).verdict == "not measured"
    chain = watched("cola, length 2", [3.0, 3.2, 3.1]) + watched("cola, length 2", [4.0, 4.2], "wic")
    chain += watched("cola, length 2", [9.0, 9.0], "cb")
    lora = watched("lora", [1.0, 1.2, 1.0]) + watched("lora", [2.0, 2.2], "wic")
    other = watched("lora", [9.0, 9.0], model="tiny") + watched("cola, length 2", [0.0, 0.0], model="tiny")
    row = find(reruns.beyond_lora(Evidence([*campaign, *chain, *lora, *other]), reported), claim)
    assert row.verdict == "supported"
    assert row.ours.startswith("3.60 against 1.60 of a layer's 10 leading directions: +2.00 [")
    assert row.n == "2 tasks, 2 draws, learning rate 0.001"
    assert row.command.endswith("--task wic rte")
    assert row.hardware == "GPU"
    single = Evidence([*campaign, *watched("cola, length 2", [3.0]), *watched("lora", [1.0])])
    assert find(reruns.beyond_lora(single, reported), claim).verdict == "cannot tell at this n"


def test_less_forgetting_is_a_smaller_rise_of_perplexity() -> None:
    """And is not measured where watched runs did not keep it."""
    claim = "COLA forgets less than LoRA"
    rises = {"cola, length 2": [0.2, 0.3, 0.25], "lora": [1.0, 1.2, 1.05]}
    runs = [
        replace(record, scores=record.scores | {"forgetting": rise})
        for arm, values in rises.items()
        for record, rise in zip(watched(arm, values), values, strict=True)
    ]
    row = find(inside.section(Evidence([*made("lora", 0.6), *runs])), claim)
    assert row.verdict == "supported"
    assert row.ours.startswith("+0.25 against +1.08 in perplexity on other text: -0.83 [-")
    without = Evidence([*made("lora", 0.6), *watched("lora", [1.0, 1.2]), *watched("cola, length 2", [2.0, 2.1])])
    assert {row.verdict for row in inside.section(without).rows} == {"not measured"}
    half = [run for run in runs if "forgetting" in run.scores and run.config["method"] == "cola"]
    half += watched("lora", [1.0, 1.2]) + watched("cola, length 2", [2.0, 2.1], "wic")
    half += [replace(run, scores=run.scores | {"forgetting": 1.0}) for run in watched("lora", [1.0, 1.2], "wic")]
    assert find(inside.section(Evidence([*made("lora", 0.6), *half])), claim).verdict == "not measured"


def test_a_gain_everywhere_is_a_gain_on_average(reported: Reported) -> None:
    evidence = evidence_of({task: {"lora": 0.6, "cola, length 2": 0.8} for task in TASKS})
    section = table_1.section(evidence, reported)
    for claim in ("COLA exceeds LoRA on every task", "COLA exceeds LoRA on average"):
        row = find(section, claim)
        assert row.verdict == "supported"
        assert "above on 7 of 7" in row.ours
        assert row.seconds == 7 * 2 * 5 * 2.5
        assert row.hardware == "GPU"
    assert reruns.beyond_lora(evidence, reported).rows[0].verdict == "contradicted"
    assert "COLA better on 7 of 7" in reruns.beyond_lora(evidence, reported).rows[0].ours


def test_a_lower_deviation_is_seen(reported: Reported) -> None:
    """Draws of LoRA lie fifteen points apart, those of COLA one."""
    records = []
    for task in TASKS:
        for draw, lora in enumerate((0.3, 0.45, 0.6, 0.75, 0.9)):
            records += [made("lora", lora, task)[draw], made("cola, length 2", 0.6, task)[draw]]
    row = find(table_1.section(Evidence(records), reported), "COLA's deviation")
    assert row.verdict == "supported"
    assert "lower on 7 of 7" in row.ours


def test_rising_with_the_length_means_both_steps() -> None:
    rising = {"lora": 0.5, "cola, length 2": 0.6, "cola, length 3": 0.7}
    falling = {"lora": 0.5, "cola, length 2": 0.8, "cola, length 3": 0.6}
    section = chain_length.section(evidence_of({"rte": rising, "wic": rising, "boolq": falling}))
    assert find(section, "3 links exceed 1").verdict == "supported"
    row = find(section, "accuracy rises from 1 link")
    assert row.verdict == "supported"
    assert "both steps rise on 2 of 3" in row.ours
    section = chain_length.section(evidence_of({"rte": rising, "wic": falling, "boolq": falling}))
    assert find(section, "3 links exceed 1").verdict == "supported"
    assert find(section, "accuracy rises from 1 link").verdict == "contradicted"


def test_every_point_but_one() -> None:
    above = {"lora": 0.5} | {rank_step_down.arm(rank): 0.7 for rank in rank_step_down.RANKS}
    one = above | {rank_step_down.arm(2): 0.3}
    two = one | {rank_step_down.arm(4): 0.3}
    for by_arm, word in ((above, "supported"), (one, "supported"), (two, "contradicted")):
        row = find(rank_step_down.section(evidence_of({"rte": by_arm, "wic": above})), "every point but one")
        assert row.verdict == word
        assert "of 8; the second least of the true gains is in [" in row.ours


def test_costs_count_as_equal_within_a_hundredth() -> None:
    for extra, word in ((1.0, "supported"), (1.009, "supported"), (1.02, "contradicted")):
        records = made("lora", 0.5) + made("cola, length 2", 0.5, flops=1e6 * extra)
        section = costs.section(Evidence(records), ABSENT)
        assert find(section, "a chain costs no additional FLOPs").verdict == word
        assert find(section, "a chain costs no additional parameters").verdict == "supported"


def test_time_and_memory_are_those_of_the_benchmark(tmp_path: Path) -> None:
    """Of runs alone, each chain against the LoRA before it, on the paper's shapes."""

    def line(shape: str, contender: str, links: int, time: float, memory: float, **changes: str) -> str:
        fields = {"shape": shape, "length": 64, "contender": contender, "links": links, "device": "cuda:0 (a GPU)"}
        return json.dumps(fields | {"commit": "new", "ms_a_step": time, "peak_gib": memory} | changes)

    file = tmp_path / "rows.jsonl"
    lines = [
        line("opt-1.3b", "(c) one run, LoRA", 1, 10.0, 4.0, commit="old"),
        line("opt-1.3b", "(c) one run, COLA 2", 2, 15.0, 4.0),  # without a LoRA of its own
        line("opt-1.3b", "(c) one run, LoRA", 1, 10.0, 4.0),
        line("opt-1.3b", "(c) one run, COLA 2", 2, 10.005, 4.2),
        line("opt-1.3b", "(d) fleet of 25, COLA 2", 2, 99.0, 9.0),
        line("tiny", "(c) one run, LoRA", 1, 1.0, 1.0),
        line("tiny", "(c) one run, COLA 2", 2, 9.0, 9.0),
        line("opt-1.3b", "(c) one run, LoRA", 1, 20.0, 4.0),
        line("opt-1.3b", "(c) one run, COLA 2", 2, 19.99, 4.2),
    ]
    file.write_text("\n".join(lines))
    time, memory = speed.rows(file, 1.0, "somewhere")
    assert (time.verdict, memory.verdict) == ("supported", "contradicted")
    assert time.ours == "+0.00 [-0.64, 0.64] %"  # 12.7 standard errors of 0.05
    assert memory.n == "2 pairs"
    assert memory.hardware == "a GPU"
    assert memory.command.endswith("--shapes opt-1.3b --lengths 64 --output benchmarks/training.jsonl")
    assert [row.verdict for row in speed.rows(tmp_path / "absent", 1.0, "")] == 2 * ["not measured"]
    for broken in ("{bad", "[]", '{"shape": "opt-1.3b"}'):
        file.write_text("\n".join([lines[0], broken]))
        with pytest.raises(ColaError, match=r"rows\.jsonl, line 2: expected a row of the benchmark with shape, length"):
            speed.rows(file, 1.0, "")


def test_flops_fall_with_the_second_rank_at_every_step() -> None:
    for flops, word in (((7e5, 8e5, 9e5, 1e6), "supported"), ((8e5, 7e5, 9e5, 1e6), "contradicted")):
        records = made("lora", 0.5)
        for rank, spent in zip(rank_step_down.RANKS, flops, strict=True):
            records += made(rank_step_down.arm(rank), 0.5, flops=spent)
        assert find(costs.section(Evidence(records), ABSENT), "the smaller the second rank").verdict == word


def test_controls_and_the_majority_line(reported: Reported) -> None:
    by_arm = {"lora": 0.5, "cola, length 2": 0.8, "lora-restart, length 2": 0.6, "zero-shot": 0.3}
    evidence = evidence_of({"wsc": by_arm})
    section = controls.section(evidence)
    assert find(section, "merging a link exceeds").verdict == "supported"
    assert find(section, "LoRA exceeds the model without training").verdict == "supported"
    assert find(section, "COLA exceeds ReLoRA").verdict == "not measured"
    line = controls.majority(evidence, reported)
    assert find(line, "LoRA exceeds the commonest label on wsc").verdict == "contradicted"
    assert find(line, "COLA exceeds the commonest label on wsc").verdict == "supported"


def test_two_tasks_against_the_commonest_label_are_two_tests(reported: Reported) -> None:
    """Either p is above 0.025, so that neither counts, though one alone would."""
    evidence = evidence_of({task: {"lora": accuracy} for task, accuracy in (("wsc", 0.7625), ("cb", 0.69))})
    own = {task: evidence.over_majority(task, "lora") for task in ("wsc", "cb")}
    assert own["wsc"]
    assert own["wsc"].low > 0
    assert 0.025 < own["wsc"].p < 0.05
    first, second = holm([found.p for found in own.values() if found])
    line = controls.majority(evidence, reported)
    for task, adjusted in (("wsc", first), ("cb", second)):
        row = find(line, f"LoRA exceeds the commonest label on {task}")
        assert row.ours.endswith(f"; Holm {p_value(adjusted)}")
        assert row.verdict == "cannot tell at this n"
    assert [row.verdict for row in line.rows[2:]] == 2 * ["not measured"]


@pytest.mark.parametrize("name", list(SWEEPS))
def test_a_row_names_a_sweep_that_has_its_arms(name: str) -> None:
    there = {
        arm(Record("llm", config.question()))
        for config in load_sweep(name, {"task": ["rte"], "learning_rate": [1e-3]}).configs
    }
    assert set(SWEEPS[name]) <= there
    assert there <= {each for arms in SWEEPS.values() for each in arms}


def test_a_command_covers_all_arms_or_is_not_given() -> None:
    assert command("m", "float32", ["cola, length 2", "lora"], ["rte", "wic"]) == (
        "colarepro sweep reproduction --model m --dtype float32 --task rte wic"
    )
    assert "reproduction" in command("m", "float32", ["cola, knot 3, ranks 8-2", "lora"], ["rte"])
    assert "rank-step-down" in command("m", "float32", ["cola, knot 3, ranks 8-2", "lora"], ["rte"])
    assert command("m", "float32", ["cola, length 9", "lora"], ["rte"]) == ""


def test_without_a_measure_a_command_leaves_the_sweep_its_own_tasks() -> None:
    evidence = evidence_of({"sst2": {"lora": 0.5}})
    row = find(controls.section(evidence), "a knot after three epochs")
    assert row.command == "colarepro sweep reproduction-knots --model smollm2-135m --dtype bfloat16"
    evidence = evidence_of({"sst2": {"lora": 0.5, "cola, length 2": 0.5}})
    measured = find(costs.section(evidence, ABSENT), "a chain costs no additional FLOPs")
    assert measured.command.endswith("--task sst2")


def test_what_beyond_lora_reports_is_counted_from_its_table(reported: Reported) -> None:
    assert "COLA better in 8 of 20" in reruns.beyond_lora(Evidence([]), reported).rows[0].reported
