"""Configurations of runs: a plan, or one sentence."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from colarepro.chain import Plan
from colarepro.errors import ColaError
from colarepro.methods import METHODS
from colarepro.results.record import identity_of
from colarepro.runs.config import RunConfig, config_from
from colarepro.runs.estimate import Estimate, estimate
from colarepro.tasks import known_tasks
from colarepro.yaml_file import read_yaml

from .bounds import outcome
from .values import ABSURD, ANY, BOMB, NUMBERS, TEXTS, mappings

SMALL = st.integers(1, 40)
FORM: dict[str, st.SearchStrategy[Any]] = {
    "initialization": st.sampled_from(["fresh", "same"]),
    "learning_rate": st.sampled_from(["continue", "restart"]),
    "fold": st.sampled_from(["merge", "stack"]),
    "reset": st.sampled_from(["drop", "prune"]),
    "prune": st.floats(0, 1),
}
SCHEDULE = st.one_of(
    mappings(FORM | {"length": st.one_of(st.none(), st.integers(1, 5), NUMBERS)}),
    mappings(FORM | {"knot_steps": st.lists(st.integers(1, 30), max_size=3, unique=True).map(sorted)}),
    mappings(FORM | {"knot_epochs": st.lists(st.floats(0, 6), max_size=3).map(sorted)}),
    mappings({"length": st.just(3), "ranks": st.lists(st.integers(1, 8), min_size=2, max_size=4)}),
    mappings({"learning_rate": st.just("rewarm"), "warmup": st.one_of(st.integers(0, 9), NUMBERS)}),
    mappings({"fold": st.just("none"), "knot_steps": st.just([3, 5])}),
)
ADAPTER = mappings(
    {
        "rank": st.one_of(st.integers(1, 16), NUMBERS),
        "alpha": st.floats(1, 64),
        "targets": st.lists(st.sampled_from(["q_proj", "v_proj", "fc1", "none"]), max_size=3),
        "dropout": st.floats(0, 1),
        "variant": st.sampled_from(["lora", "dora", "rslora", "pissa", "loha", "oft", "eva", "none"]),
        "initialization": st.sampled_from(["kaiming", "gaussian"]),
    }
)
RUN = mappings(
    {
        "task": st.sampled_from(known_tasks()),
        "method": st.sampled_from(sorted(METHODS)),
        "learning_rate": st.floats(1e-6, 1.0),
        "epochs": st.integers(1, 6),
        "batch_size": st.integers(1, 16),
        "accumulation": st.sampled_from([1, 2, 4]),
        "seed": st.one_of(st.integers(0, 9), NUMBERS),
        "data_seed": st.one_of(st.integers(0, 9), NUMBERS),
        "protocol": st.sampled_from(["paper", "mezo"]),
        "train_examples": SMALL,
        "dev_examples": SMALL,
        "test_examples": SMALL,
        "max_length": st.sampled_from([1, 64, 256, 2048]),
        "max_steps": st.one_of(st.none(), SMALL, NUMBERS),
        "dtype": st.sampled_from(["float32", "bfloat16"]),
        "demonstrations": st.integers(1, 8),
        "adapter": ADAPTER,
        "chain": SCHEDULE,
    },
    required=("task",),
)


@given(values=st.one_of(RUN, ANY))
def test_a_mapping_is_a_question_or_a_sentence(values: Any, miniature: Path) -> None:
    config = outcome(lambda: config_from(values, "x.yaml"))
    if isinstance(config, ColaError):
        assert str(config).startswith("x.yaml: ")
        return
    question = outcome(RunConfig.question.__get__(config), miniature)
    if isinstance(question, ColaError):
        return
    assert len(identity_of("llm", question)) == 16
    assert question["task"] == Path(config.task).stem


@given(values=RUN)
def test_a_plan_or_a_sentence(values: Any, untrained: str, miniature: Path) -> None:
    def plan() -> Estimate:
        return estimate(config_from(values | {"model": untrained, "data_dir": str(miniature)}, "x.yaml"))

    planned = outcome(plan, miniature, Path(untrained))
    if not isinstance(planned, ColaError):
        assert 0 <= planned.flops < float("inf")
        assert 0 <= planned.seconds < float("inf")
        assert planned.bytes > 0


@given(values=SCHEDULE, steps=st.integers(-1, 300), epoch=st.one_of(st.none(), st.integers(1, 50)))
def test_a_chain_lies_inside_its_run_or_is_refused(values: Any, steps: int, epoch: int | None) -> None:
    def plan() -> Plan:
        return config_from({"task": "rte", "chain": values}, "x.yaml").chain.resolve(steps, epoch)

    planned = outcome(plan)
    if isinstance(planned, ColaError):
        return
    edges = (0, *planned.knots, steps)
    assert all(earlier < later for earlier, later in pairwise(edges))
    assert len(planned.ranks) in (0, len(edges) - 1)
    for step in range(steps):
        assert 0 <= planned.squeezed(step) < steps
        assert 0 < planned.warmth(step, 3) <= 1


SCRAPS = (
    *("task: ", "rte", "\n", "chain: ", "[", "{", "&a ", "*a", "? ", "- ", "<<: ", "---", "|", "%", "\t", "="),
    *("!!python/name:os.system", "!!bool ", "!!timestamp ", "!!int ", "!!float ", "!!binary ", "!!set "),
    *("0x", "f" * 5000, "1" * 5000, "2024-13-45", "1:2:3", ".nan"),
)
TEXT = st.one_of(
    RUN.map(lambda values: yaml.safe_dump(values, allow_unicode=True).encode("utf-8", "replace")),
    st.text(max_size=60).map(lambda text: text.encode("utf-8", "replace")),
    st.binary(max_size=60),
    st.lists(st.sampled_from(SCRAPS), max_size=12).map(lambda words: "".join(words).encode()),
)


@given(text=TEXT)
def test_a_yaml_file_is_a_configuration_or_a_sentence(text: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(text)
    config = outcome(lambda: config_from(read_yaml(path), str(path)), tmp_path)
    assert isinstance(config, RunConfig) or "x.yaml" in str(config)


@pytest.mark.parametrize("place", ["task", "learning_rate", "adapter", "chain", "unknown"])
def test_a_few_letters_that_stand_for_billions(place: str, tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(f"task: rte\n{place}: {BOMB}")
    assert isinstance(outcome(lambda: config_from(read_yaml(path), str(path))), ColaError)
    path.write_text(f"task: rte\n{place}: &a [*a]")
    assert isinstance(outcome(lambda: config_from(read_yaml(path), str(path))), ColaError)


@pytest.mark.parametrize("what", ABSURD)
def test_the_absurd_is_refused_before_anything_is_made(what: str, untrained: str, miniature: Path) -> None:
    asked = {"task": "rte", "method": "cola", "model": untrained, "data_dir": str(miniature)} | ABSURD[what]
    refused = outcome(lambda: config_from(asked, "x.yaml"))
    assert isinstance(refused, ColaError)


@given(field=st.sampled_from(["task", "model", "data_dir"]), text=TEXTS)
def test_a_place_is_one_or_is_refused(field: str, text: str, miniature: Path) -> None:
    values = {"task": "rte", "model": "tiny", "data_dir": str(miniature), field: text}
    outcome(lambda: config_from(values, "x.yaml").question(), miniature)
