"""Figures from records: what is drawn is what the records say, and nothing half-written stays."""

import dataclasses
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from colarepro.errors import ColaError
from colarepro.figures import FIGURES, figure
from colarepro.figures.index import write_index
from colarepro.methods import METHODS
from colarepro.results import Record


@pytest.fixture
def runs(records: list[Record]) -> list[Record]:
    return [record for record in records if record.kind == "llm"]


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_comes_with_its_numbers(name: str, records: list[Record], tmp_path: Path) -> None:
    caption = figure(name).write(records, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{name}{end}" for end in (".csv", ".pdf", ".png")]
    assert (tmp_path / f"{name}.pdf").read_bytes().startswith(b"%PDF")
    assert not pd.read_csv(tmp_path / f"{name}.csv").empty
    assert caption.endswith(".")


def test_equal_records_give_equal_bytes(records: list[Record], tmp_path: Path) -> None:
    for folder in ("one", "two"):
        figure("bound").write(records, tmp_path / folder)
    for end in (".csv", ".pdf", ".png"):
        assert (tmp_path / "one" / f"bound{end}").read_bytes() == (tmp_path / "two" / f"bound{end}").read_bytes()


def test_scores_are_means_over_seeds(runs: list[Record]) -> None:
    table = figure("scores").table(runs)
    row = table[(table["task"] == "rte") & (table["arm"] == "cola")].iloc[0]
    assert row["accuracy"] == pytest.approx(0.65)
    assert (row["lowest"], row["highest"]) == pytest.approx((0.6, 0.7))
    assert row["seeds"] == 2


def test_arms_come_in_the_order_of_the_methods(runs: list[Record]) -> None:
    """And a chain of other ranks, or of another PEFT method, is an arm of its own, not another seed."""
    table = figure("scores").table(runs)
    arms = list(dict.fromkeys(table.loc[table["task"] == "rte", "arm"]))
    variants = ["cola, dora", "cola, length 2, same A", "cola, length 3, ranks 8-4-2"]
    assert arms == ["full", "lora", "cola", *variants, *[name for name in METHODS if name not in arms[:3]]]
    assert set(table.loc[table["arm"].isin(variants), "seeds"]) == {1}
    assert table.loc[table["arm"] == "zero-shot", "learning_rate"].isna().all()
    shown = figure("scores").draw(table).legends[0].get_texts()
    assert [text.get_text() for text in shown] == [*arms, "majority class"]
    assert "zero-shot" not in figure("scores").caption(table)
    assert "rac-lora 0.001" in figure("scores").caption(table)


def test_what_trains_nothing_costs_no_training(runs: list[Record]) -> None:
    arms = set(figure("cost").table(runs)["arm"])
    assert {"full", "lora", "cola", "relora"} <= arms
    assert not arms & {"zero-shot", "in-context", "linear-probe"}
    assert set(figure("losses").table(runs)["method"]) == {"lora", "cola"}


def test_runs_that_shared_a_base_have_seconds_of_their_own(runs: list[Record]) -> None:
    lora = next(record for record in runs if record.config["method"] == "lora")
    together = dataclasses.replace(lora, costs=lora.costs | {"fleet": 8, "seconds_train": 0.5})
    table = figure("cost").table([lora, together])
    assert dict(zip(table["shared"], table["seconds_per_1000_tokens"], strict=True)) == {False: 2.0, True: 0.5}
    assert "shared a base" in figure("cost").caption(table)
    assert "shared a base" not in figure("cost").caption(table[~table["shared"]])
    assert [text.get_text() for text in figure("cost").draw(table).axes[0].get_xticklabels()] == [
        "tiny",
        "tiny\ntogether",
    ]


def test_losses_are_running_means(runs: list[Record]) -> None:
    table = figure("losses").table(runs)
    here = table[(table["method"] == "cola") & (table["task"] == "rte") & (table["seed"] == 0)]
    assert here["loss"].iloc[0] == pytest.approx(60 - 12)  # steps 1 to 25
    assert set(here["knot"]) == {36}


def test_costs_are_per_token(runs: list[Record]) -> None:
    row = figure("cost").table(runs).iloc[0]
    assert row["flops_per_token"] == pytest.approx(4e6 / 1000)
    assert row["seconds_per_1000_tokens"] == pytest.approx(2.0)


def test_no_record_is_no_figure(tmp_path: Path) -> None:
    with pytest.raises(ColaError, match="'scores' found no record to draw; expected some of kind 'llm'"):
        figure("scores").write([], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_figure_is_named() -> None:
    with pytest.raises(ColaError, match="Unknown figure 'scorse'; expected all, list, or one of algorithm"):
        figure("scorse")


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


def test_the_index_shows_every_figure(tmp_path: Path) -> None:
    text = write_index({name: f"<caption of {name}>" for name in FIGURES}, tmp_path).read_text()
    for name in FIGURES:
        assert f'src="{name}.png"' in text
        assert f'href="{name}.csv"' in text
        assert f"&lt;caption of {name}&gt;" in text
