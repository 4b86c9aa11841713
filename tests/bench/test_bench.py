"""The benchmark runs through on a CPU, and its rows follow from its times."""

import json
from pathlib import Path

import pytest
import torch

from colarepro.bench import __main__ as bench
from colarepro.bench.contenders import contenders
from colarepro.bench.setting import BATCH
from colarepro.errors import ColaError


def test_every_contender_leaves_its_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = tmp_path / "rows.jsonl"
    words = ["--lengths", "12", "--fleet", "2", "--steps", "1", "--repeats", "2", "--dtype", "float32"]
    monkeypatch.setattr("sys.argv", ["bench", *words, "--device", "cpu", "--output", str(output)])
    bench.main()
    rows = [json.loads(line) for line in output.read_text().splitlines()]
    assert [row["contender"][:3] for row in rows] == ["(a)", "(b)", "(c)", "(c)", "(d)", "(d)"]
    assert [row["runs"] for row in rows] == [1, 1, 1, 1, 2, 2]
    assert [row["links"] for row in rows] == [1, 1, 1, 2, 1, 2]
    products = 2 * 12 * 96**2  # of the tiny shape's two layers
    for row in rows:
        rate = 1000 * row["runs"] * BATCH / row["ms_a_step"]
        assert row["examples_a_second"] == pytest.approx(rate)
        assert row["times_a"] == pytest.approx(rate / rows[0]["examples_a_second"])
        assert row["teraflops"] == pytest.approx(4 * products * rate * 12 / 1e12)
        assert row["share_of_ceiling"] == pytest.approx(row["teraflops"] / row["ceiling_teraflops"])
        assert row["torch"] == torch.__version__
    assert all(row["ms_a_knot"] > 0 for row in rows if row["links"] == 2)


def test_letters_choose() -> None:
    assert [each.name for each in contenders("d", (1, 4), (1,))] == ["(d) fleet of 1, LoRA", "(d) fleet of 4, LoRA"]
    assert [each.links for each in contenders("c", (), (1, 2, 3))] == [1, 2, 3]


def test_what_cannot_be_measured_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["bench", "--device", "cpu", "--shapes", "gpt-5"])
    with pytest.raises(ColaError, match="Unknown shape 'gpt-5'; expected one of opt-"):
        bench.main()
    monkeypatch.setattr("sys.argv", ["bench", "--device", "cpu", "--dtype", "fp16"])
    with pytest.raises(SystemExit):
        bench.main()
    assert "invalid choice 'fp16'" in capsys.readouterr().err
