"""Figures as files: every one comes with its numbers, nothing half-written stays, and the page shows them all."""

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pandas as pd
import pytest

from colarepro.errors import ColaError
from colarepro.figures import FIGURES, figure
from colarepro.figures import __main__ as command
from colarepro.figures.figure import NoRecordError, Written
from colarepro.figures.index import write_index
from colarepro.results import Record, Store, arm

TABLES = ("table-1", "table-2", "table-3", "table-4", "agreement")


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_comes_with_its_numbers(name: str, records: list[Record], tmp_path: Path) -> None:
    written = figure(name).write(records, tmp_path)
    suffixes = (".csv", ".html", ".tex") if name in TABLES else (".csv", ".pdf", ".png")
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{name}{suffix}" for suffix in suffixes]
    assert sorted(written.suffixes) == list(suffixes)
    assert not pd.read_csv(tmp_path / f"{name}.csv").empty
    assert written.caption.endswith(".")
    if name not in TABLES:
        assert (tmp_path / f"{name}.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize("name", ["bound", "table-1"])
def test_equal_records_give_equal_bytes(name: str, records: list[Record], tmp_path: Path) -> None:
    suffixes = figure(name).write(records, tmp_path / "one").suffixes
    figure(name).write(records, tmp_path / "two")
    for suffix in suffixes:
        assert (tmp_path / "one" / f"{name}{suffix}").read_bytes() == (
            tmp_path / "two" / f"{name}{suffix}"
        ).read_bytes()


def test_a_table_reads_the_same_in_latex_and_html(records: list[Record], tmp_path: Path) -> None:
    figure("table-3").write(records, tmp_path)
    html = [[cell.text for cell in row] for row in ElementTree.parse(tmp_path / "table-3.html").iter("tr")]
    latex = (tmp_path / "table-3.tex").read_text()
    rows = [line.removesuffix(r" \\").split(" & ") for line in latex.splitlines() if " & " in line]
    assert [[cell.replace("\\", "") for cell in row] for row in rows] == html
    assert r"\toprule" in latex


def test_no_record_is_no_figure(tmp_path: Path) -> None:
    with pytest.raises(NoRecordError, match="'table-1' found no record to draw; expected some of kind 'llm'"):
        figure("table-1").write([], tmp_path)
    with pytest.raises(ColaError, match="'agreement' found no record to draw; expected some of kinds 'llm' and 'theo"):
        figure("agreement").write([], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_figure_is_named() -> None:
    with pytest.raises(ColaError, match="Unknown figure 'table-5'; expected all, list, or one of algorithm"):
        figure("table-5")


def test_a_failed_drawing_keeps_the_old_files(
    records: list[Record], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figure("bound").write(records, tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def broken(*_: Any, **__: Any) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", broken)
    with pytest.raises(OSError, match="disk full"):
        figure("bound").write(records, tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_the_index_shows_every_figure_in_its_group(tmp_path: Path) -> None:
    written = {
        name: Written(f"<caption of {name}>", (".tex", ".html", ".csv") if name in TABLES else (".pdf", ".png", ".csv"))
        for name in FIGURES
    }
    for name in TABLES:
        (tmp_path / f"{name}.html").write_text(f"<table><td>cells of {name}</td></table>")
    text = write_index(written, tmp_path).read_text()
    for name in FIGURES:
        assert f'href="#{name}"' in text
        assert f'href="{name}.csv"' in text
        assert f"&lt;caption of {name}&gt;" in text
        assert (f"<td>cells of {name}</td>" if name in TABLES else f'src="{name}.png"') in text
    groups = ["The algorithm", "Language models", "Inside a chain", "Theory and language models", "Theory"]
    assert [line for line in text.splitlines() if line.startswith("<h2>")] == [f"<h2>{group}</h2>" for group in groups]
    assert text.index("<h2>Language models") < text.index('id="table-1"') < text.index("<h2>Theory and")


def test_the_index_says_what_was_not_drawn(tmp_path: Path) -> None:
    text = write_index({"cost": Written("Cost.", (".pdf", ".png", ".csv"))}, tmp_path).read_text()
    assert "losses.png" not in text
    assert "<h2>Theory" not in text
    (missing,) = [line for line in text.splitlines() if "Not drawn, for want of records" in line]
    assert "Loss curves across knots" in missing
    assert "Cost" not in missing


def test_the_command_draws_what_has_records_and_names_the_rest(
    runs: list[Record], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store(tmp_path / "records")
    for record in runs:
        if arm(record) == "lora":
            store.put(record)
    wanted = {name: FIGURES[name] for name in ("chain-length", "knot-policy")}
    monkeypatch.setattr(command, "FIGURES", wanted)
    places = ["--records", str(tmp_path / "records"), "--output", str(tmp_path / "drawn")]
    monkeypatch.setattr("sys.argv", ["colarepro figures", "all", *places])
    command.main()
    assert "not drawn: The figure 'knot-policy'" in capsys.readouterr().out
    names = sorted(path.name for path in (tmp_path / "drawn").iterdir())
    assert names == ["chain-length.csv", "chain-length.pdf", "chain-length.png", "index.html"]
    monkeypatch.setattr("sys.argv", ["colarepro figures", "knot-policy", *places])
    with pytest.raises(NoRecordError, match="'knot-policy' found no record"):
        command.main()
