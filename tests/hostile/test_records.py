"""Files in a store: a record, or one sentence."""

import json
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from colarepro.errors import ColaError
from colarepro.results import Record, Store

from .bounds import outcome
from .conftest import PROPERTIES
from .values import ANY, TEXTS, mappings

RECORD = mappings(
    {
        "kind": st.sampled_from(["llm", "theory"]),
        "config": st.dictionaries(TEXTS, ANY, max_size=3),
        "status": st.sampled_from(["done", "diverged", "failed"]),
        "reason": TEXTS,
        "scores": st.dictionaries(TEXTS, st.floats(), max_size=3),
        "curves": st.dictionaries(TEXTS, st.lists(st.floats(), max_size=3), max_size=2),
        "predictions": st.dictionaries(TEXTS, st.lists(st.integers(0, 12), max_size=5), max_size=2),
        "costs": st.dictionaries(TEXTS, st.floats(), max_size=2),
    },
    required=("kind", "config"),
)


@given(content=st.one_of(RECORD, ANY))
def test_a_file_is_a_record_or_a_sentence_and_a_record_comes_back(content: Any, tmp_path: Path) -> None:
    path = tmp_path / f"{'0' * 16}.json"
    path.write_bytes(json.dumps(content).encode())
    record = outcome(lambda: Record.from_json(path.read_bytes(), "x"), tmp_path)
    outcome(lambda: list(Store(tmp_path)), tmp_path)
    if isinstance(record, ColaError):
        return
    path.unlink()
    again = Store(tmp_path)
    placed = again.put(record)
    found = again.get(record.kind, record.config)
    assert found is not None
    assert found.identity == record.identity == placed.stem
    assert found.predictions == record.predictions
    assert found.to_json() == record.to_json()
    placed.unlink()


def test_this_folder_generates_as_many_cases_as_it_says() -> None:
    given_in = sum(path.read_text().count("\n@given(") for path in Path(__file__).parent.glob("test_*.py"))
    assert given_in == PROPERTIES
