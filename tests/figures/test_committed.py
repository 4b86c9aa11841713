"""The committed numbers of language-model figures are what the committed records give today."""

from io import StringIO
from pathlib import Path

import pandas as pd
import pytest

from colarepro.figures import FIGURES, figure
from colarepro.results import Record, Store

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def committed() -> list[Record]:
    return list(Store(ROOT / "data" / "results"))


@pytest.mark.parametrize("name", [name for name, wanted in FIGURES.items() if wanted.kind == "llm"])
def test_the_csv_is_what_the_records_give(name: str, committed: list[Record]) -> None:
    """If not: python -m colarepro.figures all."""
    table = figure(name).table([record for record in committed if record.kind == "llm"])
    path = ROOT / "paper_figures" / f"{name}.csv"
    assert path.exists() != table.empty
    if not table.empty:
        today = pd.read_csv(StringIO(table.to_csv(index=False, float_format="%.6g")))
        pd.testing.assert_frame_equal(pd.read_csv(path), today, rtol=1e-4)
