"""What a run is asked: from a mapping, and as the question that a record answers."""

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import pytest

from colarepro.chain import Schedule
from colarepro.errors import ColaError
from colarepro.methods import METHODS, Adapter
from colarepro.results.record import identity_of
from colarepro.runs import RunConfig
from colarepro.runs.config import config_from
from colarepro.yaml_file import read_yaml


@pytest.fixture
def config(untrained: str, miniature: Path) -> RunConfig:
    return RunConfig(task="rte", model=untrained, data_dir=miniature)


def test_a_mapping_is_a_configuration() -> None:
    values = {
        "task": "rte",
        "data_dir": "somewhere",
        "learning_rate": 1,
        "adapter": {"rank": 4, "targets": ["fc1"]},
        "chain": {"knot_epochs": [3], "ranks": [8, 2]},
    }
    expected = RunConfig(
        task="rte",
        data_dir=Path("somewhere"),
        learning_rate=1.0,
        adapter=Adapter(rank=4, targets=("fc1",)),
        chain=Schedule(knot_epochs=(3,), ranks=(8, 2)),
    )
    assert config_from(values, "x.yaml") == expected


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"task": "rte", "epoch": 3}, "the key epoch is no known key"),
        ({"task": "rte", "adapter": {"rnk": 3}}, "the key adapter.rnk is no known key"),
        ({"task": "rte", "adapter": {"rank": "high"}}, "the key adapter.rank is 'high'; "),
        ({"epochs": 3}, "the key task is missing"),
        ([1], "the content is [1]; "),
        (None, "the content is None; "),
    ],
)
def test_what_is_none_is_named_with_its_file(values: Any, said: str) -> None:
    with pytest.raises(ColaError) as raised:
        config_from(values, "x.yaml")
    assert str(raised.value).startswith(f"x.yaml: {said}")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"{", "is not YAML"), (b"\xff\xfe\xff", "is not YAML"), (None, "could not be read: No such file")],
)
def test_a_file_that_cannot_be_read_is_named(content: bytes | None, said: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "x.yaml").write_bytes(content)
    with pytest.raises(ColaError, match=rf"x\.yaml {said}") as raised:
        read_yaml(tmp_path / "x.yaml")
    assert "\n" not in str(raised.value)


def test_a_question_holds_no_place(config: RunConfig) -> None:
    asked = config.question()
    assert "data_dir" not in asked
    assert asked["model"].startswith(Path(config.model).name + "@")
    assert str(config.data_dir) not in str(asked)


def test_a_model_and_not_its_place_makes_the_question(config: RunConfig, tmp_path: Path) -> None:
    """Other weights in a folder of the same name are another question."""
    name = Path(config.model).name
    for place in ("here", "there"):
        shutil.copytree(config.model, tmp_path / place / name)
    moved = [dataclasses.replace(config, model=str(tmp_path / place / name)) for place in ("here", "there")]
    assert moved[0].question() == moved[1].question() == config.question()
    weights = tmp_path / "there" / name / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    assert moved[1].question() != config.question()
    assert moved[0].question() == config.question()


def test_data_and_not_its_place_make_the_question(config: RunConfig, tmp_path: Path) -> None:
    assert config.data_dir is not None
    (tmp_path / "RTE").mkdir()
    for name in ("train.jsonl", "val.jsonl"):
        (tmp_path / "RTE" / name).write_bytes((config.data_dir / "RTE" / name).read_bytes())
    moved = dataclasses.replace(config, data_dir=tmp_path)
    assert moved.question() == config.question()
    with (tmp_path / "RTE" / "val.jsonl").open("a") as file:
        file.write("\n")
    assert moved.question() != config.question()


@pytest.mark.parametrize("name", METHODS)
def test_only_what_a_method_reads_makes_its_question(config: RunConfig, name: str) -> None:
    config = dataclasses.replace(config, method=name)
    others: dict[str, Any] = {
        "learning_rate": 0.1,
        "epochs": 9,
        "batch_size": 9,
        "seed": 9,
        "demonstrations": 9,
        "adapter": Adapter(variant="dora"),
        "chain": Schedule(length=5),
        "data_seed": 9,
        "dtype": "bfloat16",
    }
    own = identity_of("llm", config.question())
    changing = {
        field
        for field, value in others.items()
        if identity_of("llm", dataclasses.replace(config, **{field: value}).question()) != own
    }
    everywhere = {"data_seed", "dtype"}
    assert changing - everywhere == set(METHODS[name].reads) & set(others)
    assert everywhere <= changing
