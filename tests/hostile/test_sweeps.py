"""Sweep files: runs, or one sentence."""

from pathlib import Path
from typing import Any

import yaml
from hypothesis import given
from hypothesis import strategies as st

from colarepro.errors import ColaError
from colarepro.runs.sweep import load_sweep

from .bounds import outcome
from .test_configs import RUN, SCHEDULE
from .values import ANY, NUMBERS, TEXTS, mappings

AXES = st.one_of(
    mappings(
        {
            "seed": st.lists(st.one_of(st.integers(0, 9), NUMBERS), max_size=3),
            "learning_rate": st.lists(st.floats(1e-5, 1), max_size=3),
            "task": st.lists(st.sampled_from(["rte", "wic"]), max_size=2),
            "chain": st.lists(SCHEDULE, max_size=2),
            "arm": st.lists(RUN, max_size=2),
        }
    ),
    st.dictionaries(TEXTS, st.lists(ANY, max_size=2), max_size=3),
)
SWEEP = mappings({"description": TEXTS, "base": RUN, "axes": AXES})


@given(content=st.one_of(SWEEP, ANY))
def test_a_sweep_file_is_runs_or_a_sentence(content: Any, miniature: Path, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    sweep = outcome(lambda: load_sweep(str(path), {"data_dir": miniature}), tmp_path, miniature)
    assert isinstance(sweep, ColaError) or 1 <= len(sweep.configs) <= 300


def test_ten_million_seeds_are_refused_before_they_are_made(miniature: Path, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    axes = {f"axis{number}": [{"seed": value} for value in range(10)] for number in range(7)}
    path.write_text(yaml.safe_dump({"base": {"task": "rte"}, "axes": axes}))
    refused = outcome(lambda: load_sweep(str(path), {"data_dir": miniature}), tmp_path)
    assert isinstance(refused, ColaError)
    assert "10000000 runs" in str(refused)


def test_a_description_that_is_a_date_is_no_text(miniature: Path, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("description: 2024-01-01\nbase: {task: rte}")
    assert "description" in str(outcome(lambda: load_sweep(str(path), {"data_dir": miniature}), tmp_path))
