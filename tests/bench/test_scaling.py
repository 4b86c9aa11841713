"""How one run speeds up on more GPUs: what is drawn, and what cannot be."""

import json
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pytest

from benchmarks import scaling
from colarepro.errors import ColaError


def test_an_unknown_shape_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["scaling", "--device", "cpu", "--shape", "gpt-5", "--folder", str(tmp_path)])
    with pytest.raises(ColaError, match="Unknown shape 'gpt-5'; expected one of opt-"):
        scaling.main()


def test_one_setting_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[list[float]] = []
    monkeypatch.setattr(plt, "close", lambda canvas: drawn.extend(line.get_ydata() for line in canvas.axes[0].lines))
    asked = scaling.Arguments(folder=tmp_path, shape="tiny", batch=4, length=12, dtype="float32")
    with pytest.raises(ColaError, match=r"scaling.jsonl has no row of shape tiny, batch 4, length 12, dtype float32"):
        scaling.draw(asked)
    mine: dict[str, Any] = {"shape": "tiny", "batch": 4, "length": 12, "dtype": "float32", "links": 1}
    others = [{"shape": "opt-1.3b"}, {"batch": 8}, {"length": 64}, {"dtype": "bfloat16"}]
    rows = [mine | {"processes": count, "tokens_a_second": 10.0 * count} for count in (1, 2)]
    rows += [mine | other | {"processes": 1, "tokens_a_second": 1e6} for other in others]
    (tmp_path / "scaling.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    scaling.draw(asked)
    assert (tmp_path / "scaling.png").exists()
    assert [list(heights) for heights in drawn] == [[10, 20], [10, 20]]
