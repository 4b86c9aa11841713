"""What a chain takes in time and memory, from the benchmark: records of runs in a fleet share both out evenly."""

import json
from pathlib import Path
from typing import Any, TypeAlias

from colarepro.ledger.row import Row, Span
from colarepro.results.verdict import verdict

SHAPES = {"opt-1.3b": "OPT-1.3B", "llama-2-7b": "Llama-2-7B"}
"""The paper's models."""
Line: TypeAlias = dict[str, Any]
WHAT = {"time": "ms_a_step", "memory": "peak_gib"}


def rows(path: Path, tolerance: float, where: str) -> list[Row]:
    """That a run by itself costs no more with a chain than by LoRA, by ``tolerance`` per cent: its steps, its memory.

    ``path`` is the benchmark's file, in which LoRA's line comes before those of the chains of the same process.
    """
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [_row(what, _pairs(lines), tolerance, where) for what in WHAT]


def _pairs(lines: list[Line]) -> list[tuple[Line, Line]]:
    """LoRA's line and a chain's, of the same shape and length."""
    base: dict[tuple[str, int], Line] = {}
    found = []
    for line in lines:
        place = line["shape"], line["length"]
        if place[0] not in SHAPES or not line["contender"].startswith("(c)") or "links" not in line:
            continue
        if line["links"] == 1:
            base[place] = line
        elif place in base:
            found.append((base[place], line))
    return found


def _row(what: str, pairs: list[tuple[Line, Line]], tolerance: float, where: str) -> Row:
    extra = [100 * (chain[WHAT[what]] / lora[WHAT[what]] - 1) for lora, chain in pairs]
    span = Span(sum(extra) / len(extra), min(extra), max(extra)) if extra else None
    shapes = list(dict.fromkeys(chain["shape"] for _, chain in pairs)) or ["opt-1.3b"]
    return Row(
        claim=f"a chain costs no additional {what}",
        where=where,
        reported="no additional cost (certain; numbers not recovered)",
        ours=f"{span.difference:+.2f} % [{span.low:+.2f}, {span.high:+.2f}]" if span else "",
        n=f"{len(pairs)} pairs" if span else "",
        verdict=verdict(tolerance - span.high, tolerance - span.low) if span else "not measured",
        scope=f"a run alone, shape of {' and '.join(SHAPES[shape] for shape in shapes)}, random weights",
        command=f"python -m colarepro.bench --contenders c --shapes {' '.join(shapes)}",
        seconds=0.0,
        hardware=", ".join(dict.fromkeys(chain["device"] for _, chain in pairs)),
    )
