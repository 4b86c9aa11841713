"""The tables that come with the repository are what its records give today."""

from pathlib import Path

import pytest

from colarepro.claims import Arguments, write

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def texts() -> dict[str, str]:
    data = ROOT / "data"
    return write(Arguments(data / "results", data / "theory", data / "reported.csv", data / "tasks.csv"))


@pytest.mark.parametrize("name", ["CLAIMS.md", "REPORT.md"])
def test_it_is_what_the_records_give(name: str, texts: dict[str, str]) -> None:
    """If not: python -m colarepro.claims."""
    assert (ROOT / name).read_text(encoding="utf-8") == texts[name]
