"""Facts on tasks against the same computed by hand, and the command that shows them."""

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest

from colarepro.errors import ColaError
from colarepro.models.tiny import LONGEST
from colarepro.tasks import draw, facts, load_examples, load_task, table
from colarepro.tasks.facts import data_facts, task_facts, token_facts
from colarepro.tasks.protocol import sizes
from tests.tasks.official import write, write_rte
from tests.tasks.test_encode import byte_level, sentencepiece_like

COMMITTED = Path(__file__).parents[2] / "data" / "tasks.csv"


def test_data_facts_are_counts(tmp_path: Path) -> None:
    assert data_facts(write_rte(tmp_path, 23, 7), tmp_path) == {
        "task": "rte",
        "train_rows": 23,
        "validation_rows": 7,
        "paper_train": 19,
        "paper_dev": 4,
        "mezo_train": 0,
        "mezo_dev": 23,
        "test": 7,
        "train_labels": "Yes 12, No 11",
        "validation_labels": "Yes 4, No 3",
        "train_majority": 12 / 23,
        "validation_majority": 4 / 7,
        "test_majority": 4 / 7,
    }


@pytest.mark.parametrize("rows", [600, 1400, 1600])
@pytest.mark.parametrize("protocol", ["paper", "mezo"])
def test_sizes_are_those_of_the_draw(rows: int, protocol: Literal["paper", "mezo"], tmp_path: Path) -> None:
    task = write_rte(tmp_path, rows)
    splits = draw(task, tmp_path, 0, protocol)
    assert sizes(task, rows, protocol) == (len(splits.train), len(splits.dev))


def test_the_test_majority_is_of_the_drawn_rows(tmp_path: Path) -> None:
    task = write_rte(tmp_path, 10, 1200)
    share = data_facts(task, tmp_path, seed=4)["test_majority"]
    labels = [example.label for example in draw(task, tmp_path, seed=4).test]
    assert share == max(np.bincount(labels)) / 1000 != 0.5


@pytest.mark.parametrize("make", [byte_level, sentencepiece_like])
@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_lengths_are_those_of_the_tokenizer(
    make: Any, chunk: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(facts, "CHUNK", chunk)
    task, tokenizer = write_rte(tmp_path, 20), make()
    examples = load_examples(task, "train", tmp_path)
    lengths = sorted(len(tokenizer(example.prompt + "Yes")["input_ids"]) for example in examples)
    found = token_facts(task, examples, tokenizer, max_length=lengths[10])
    assert [found[f"tokens_{name}"] for name in ("50", "90", "99", "max")] == [lengths[i] for i in (9, 17, 19, 19)]
    assert found["limit"] == lengths[10]
    assert found["share_cut"] == sum(length > lengths[10] for length in lengths) / 20
    assert found["one_token"] is True
    assert found["verbalizer_tokens"] == "Yes, No"


def test_several_tokens_and_the_tokenizers_own_limit_are_told(tmp_path: Path) -> None:
    task, tokenizer = replace(write(tmp_path, "rte"), verbalizers=("Yes", "Noquz")), byte_level()
    tokenizer.model_max_length = 9
    found = token_facts(task, load_examples(task, "train", tmp_path), tokenizer)
    assert (found["one_token"], found["verbalizer_tokens"]) == (False, "Yes, No q u z")
    assert (found["limit"], found["share_cut"]) == (9, 1.0)
    whole = [
        len(tokenizer(e.prompt + "Noquz", verbose=False)["input_ids"]) for e in load_examples(task, "train", tmp_path)
    ]
    assert found["tokens_max"] == max(whole)


def test_every_chunk_is_held_to_the_first_ones_tokens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts, "CHUNK", 1)
    task = replace(write(tmp_path, "rte"), template="{hypothesis}", verbalizers=("es", "o"))
    examples = load_examples(task, "train", tmp_path)
    examples[1] = replace(examples[1], prompt="dull? Y")
    with pytest.raises(ColaError, match=r"example train-1 this tokenizer gives"):
        token_facts(task, examples, byte_level())


def test_a_row_for_each_task_and_tokenizer(tmp_path: Path) -> None:
    tasks = [write(tmp_path, "sst2"), write(tmp_path, "rte")]
    both = task_facts(tasks, {"one": byte_level(), "two": sentencepiece_like()}, tmp_path)
    assert list(zip(both["task"], both["tokenizer"], strict=True)) == [
        ("sst2", "one"),
        ("sst2", "two"),
        ("rte", "one"),
        ("rte", "two"),
    ]
    bare = task_facts(tasks, {}, tmp_path)
    assert list(bare["task"]) == ["sst2", "rte"]
    pd.testing.assert_frame_equal(both.iloc[::2, : bare.shape[1]].reset_index(drop=True), bare)


def test_the_committed_table_has_the_official_sizes() -> None:
    """Rows of the official files, but for BoolQ's train split, of which 3,521 of 9,427 were at hand."""
    table = pd.read_csv(COMMITTED)
    rows = table.groupby("task")[["train_rows", "validation_rows"]].first().apply(tuple, axis=1).to_dict()
    assert rows == {
        "sst2": (67349, 872),
        "rte": (2490, 277),
        "wsc": (554, 104),
        "cb": (250, 56),
        "wic": (5428, 638),
        "multirc": (27243, 4848),
        "boolq": (3521, 3270),
    }
    assert set(table["tokenizer"]) == {"opt", "llama2", "smollm2-135m"}
    assert len(table) == 21
    for row in table.itertuples():
        assert (row.paper_train, row.paper_dev) == sizes(load_task(row.task), row.train_rows, "paper")
        assert (row.mezo_train, row.mezo_dev) == sizes(load_task(row.task), row.train_rows, "mezo")


def test_a_models_positions_are_the_limit_and_a_tokenizer_alone_has_none(untrained: str, tmp_path: Path) -> None:
    tokenizer = table.load_tokenizer(untrained)
    tokenizer.model_max_length = 10**30
    tokenizer.save_pretrained(tmp_path / "alone")
    assert table.load_tokenizer(str(tmp_path / "alone")).model_max_length == 10**30
    shutil.copy(Path(untrained) / "config.json", tmp_path / "alone")
    assert table.load_tokenizer(str(tmp_path / "alone")).model_max_length == LONGEST


def run(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "colarepro.tasks.table", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_command_shows_writes_and_refuses(tmp_path: Path) -> None:
    write(tmp_path, "rte")
    byte_level().save_pretrained(tmp_path / "tokens")
    words = ("--tasks", "rte", "--data-dir", str(tmp_path))
    done = run(*words, "--tokenizers", str(tmp_path / "tokens"), "--output", str(tmp_path / "out.csv"))
    assert done.returncode == 0, done.stderr
    assert "Yes, No" in done.stdout
    table = pd.read_csv(tmp_path / "out.csv")
    assert list(table[["task", "tokenizer", "train_rows", "one_token"]].itertuples(index=False, name=None)) == [
        ("rte", "tokens", 2, True)
    ]
    assert str(tmp_path) not in (tmp_path / "out.csv").read_text()
    for wrong, said in ((("--tokenizers", "nope"), "Unknown model 'nope'"), (("--max-length", "0"), "max_length")):
        refused = run(*words, *wrong)
        assert refused.returncode == 2
        assert said in refused.stderr
        assert refused.stderr.strip().count("\n") == 0
