"""Sweep files: combinations, each question once, and what is refused."""

import dataclasses
from pathlib import Path

import pytest

from colarepro.chain import Schedule
from colarepro.errors import ColaError
from colarepro.runs.sweep import joined, known_sweeps, load_sweep


def written(tmp_path: Path, text: str) -> str:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    return str(path)


def test_all_combinations_in_order(tmp_path: Path) -> None:
    sweep = load_sweep(
        written(
            tmp_path,
            """
            base: {model: tiny, epochs: 2}
            axes:
              task: [rte, cb]
              arm: [{method: lora}, {method: cola, chain: {length: 3}}]
              learning_rate: [1e-3, 5.0e-4]
            """,
        )
    )
    assert sweep.name == "mine"
    assert [(c.task, c.method, c.learning_rate) for c in sweep.configs] == [
        (task, method, rate) for task in ("rte", "cb") for method in ("lora", "cola") for rate in (1e-3, 5e-4)
    ]
    assert {c.epochs for c in sweep.configs} == {2}
    assert sweep.configs[2].chain == Schedule(length=3)


def test_a_question_is_asked_once(tmp_path: Path) -> None:
    """Zero-shot answers depend neither on the learning rate nor on the seed; LoRA's do not on the chain."""
    sweep = load_sweep(
        written(
            tmp_path,
            """
            base: {task: rte}
            axes:
              method: [zero-shot, lora]
              learning_rate: [0.001, 0.01]
              seed: [0, 1]
              chain: [{length: 2}, {length: 3}]
            """,
        )
    )
    assert [c.method for c in sweep.configs] == ["zero-shot"] + 4 * ["lora"]


def test_changes_replace_fields_and_axes(tmp_path: Path) -> None:
    path = written(tmp_path, "base: {task: rte, model: facebook/opt-1.3b}\naxes: {learning_rate: [0.1, 0.2]}")
    changed = load_sweep(path, {"model": "tiny", "learning_rate": (0.3,), "task": ("cb", "wsc")})
    assert [(c.task, c.model, c.learning_rate) for c in changed.configs] == [
        ("cb", "tiny", 0.3),
        ("wsc", "tiny", 0.3),
    ]


def test_sweeps_are_joined_in_order_each_question_once() -> None:
    first, second = (
        load_sweep("reproduction", {"task": ["rte"]}),
        load_sweep("reproduction-chain-length", {"task": ["rte"]}),
    )
    both = joined([first, second])
    assert both.name == "reproduction, reproduction-chain-length"
    assert both.configs[: len(first.configs)] == first.configs
    assert [c.chain.length for c in both.configs[len(first.configs) :]] == 25 * [4] + 25 * [5] + 25 * [6]


def test_the_papers_tables_hold_the_papers_runs() -> None:
    """Seven tasks x two methods x five rates x five draws; every shipped file can be read."""
    sweeps = {name: load_sweep(name) for name in known_sweeps()}
    assert {"table1", "table2", "chain-length", "rank-step-down", "cost"} <= set(sweeps)
    assert len(sweeps["table1"].configs) == len(sweeps["table2"].configs) == 7 * 2 * 5 * 5
    assert {c.model for c in sweeps["table2"].configs} == {"meta-llama/Llama-2-7b-hf"}
    assert len(sweeps["chain-length"].configs) == 7 * 3 * 5 * 5
    assert len(sweeps["rank-step-down"].configs) == 3 * 5 * 5 * 5
    ranks = [c.chain.ranks for c in sweeps["cost"].configs if c.method == "cola"]
    assert ranks == [(8, 8), (8, 6), (8, 4), (8, 2)]
    assert all(dataclasses.replace(c).question() for sweep in sweeps.values() for c in sweep.configs)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1, 2]", "expected a mapping with description, base and axes"),
        ("base: {task: rte}\ngrid: {}", "expected a mapping with description, base and axes"),
        ("base: 3", "base and axes must be mappings"),
        ("base: {task: rte}\naxes: {seed: 3}", "the axis seed must be a list"),
        ("base: {task: rte}\naxes: {sed: [3]}", "the axis sed is no field of a run"),
        ("base: {task: rte, lerning_rate: 3}", "the key lerning_rate is no known key"),
        ("base: {task: rte, chain: {lenth: 3}}", "the key chain.lenth is no known key"),
        ("base: {method: lora}", "the key task is missing"),
        ("base: {task: rte, epochs: many}", "the key epochs is 'many'"),
        ("base: {task: rte, chain: {length: 0}}", "the chain length is 0; expected 1"),
        ("base: {task: rte, dtype: float16}", "the key dtype is 'float16'"),
        ("base: {task: rte", "is not YAML"),
        ("base: {task: rte, method: loraa}", "Unknown method 'loraa'"),
    ],
)
def test_what_is_no_sweep_is_one_sentence(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ColaError, match=message) as raised:
        load_sweep(written(tmp_path, text))
    assert "\n" not in str(raised.value)


def test_unknown_names() -> None:
    with pytest.raises(ColaError, match="Unknown sweep 'table9'; expected chain-length, cost"):
        load_sweep("table9")
    with pytest.raises(ColaError, match=r"nowhere\.yaml could not be read"):
        load_sweep("nowhere.yaml")
