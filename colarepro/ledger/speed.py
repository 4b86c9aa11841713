"""What a chain takes in time and memory, from the benchmark: records of runs in a fleet share both out evenly."""

import json
from pathlib import Path
from typing import Any, TypeAlias

from colarepro.errors import ColaError
from colarepro.ledger.evidence import hardware
from colarepro.ledger.row import Row, Span, interval
from colarepro.results import mean_interval
from colarepro.results.verdict import verdict

SHAPES = {"opt-1.3b": "OPT-1.3B", "llama-2-7b": "Llama-2-7B"}
"""The paper's models."""
Line: TypeAlias = dict[str, Any]
WHAT = {"time": "ms_a_step", "memory": "peak_gib"}
NEEDED = ("shape", "length", "contender", *WHAT.values())


def rows(path: Path, tolerance: float, where: str) -> list[Row]:
    """That a run by itself costs no more with a chain than by LoRA, by ``tolerance`` per cent: its steps, its memory.

    ``path`` is the benchmark's file, in which LoRA's line comes before those of the chains of the same process. All
    its pairs count, also those that a busy host disturbed. Without the file nothing is measured. Raises `ColaError` if
    it cannot be read or a line is no row of the benchmark.
    """
    pairs = _pairs(_lines(path)) if path.exists() else []
    return [_row(what, pairs, tolerance, where) for what in WHAT]


def _lines(path: Path) -> list[Line]:
    try:
        texts = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise ColaError(f"The benchmark's rows {path} could not be read: {error}.") from error
    lines = []
    for number, text in enumerate(texts, start=1):
        try:
            line = json.loads(text)
        except (ValueError, RecursionError):
            line = None
        if not isinstance(line, dict) or not line.keys() >= set(NEEDED):
            raise ColaError(f"{path}, line {number}: expected a row of the benchmark with {', '.join(NEEDED)}.")
        lines.append(line)
    return lines


def _origin(line: Line) -> tuple[str, str]:
    """Old lines name no commit."""
    return line.get("commit", ""), line.get("device", "")


def _pairs(lines: list[Line]) -> list[tuple[Line, Line]]:
    """LoRA's line and a chain's, of the same shape and length, commit and device."""
    base: dict[tuple[str, int, str, str], Line] = {}
    found = []
    for line in lines:
        place = line["shape"], line["length"], *_origin(line)
        if place[0] not in SHAPES or not line["contender"].startswith("(c)") or "links" not in line:
            continue
        if line["links"] == 1:
            base[place] = line
        elif place in base:
            found.append((base[place], line))
    return found


def _row(what: str, pairs: list[tuple[Line, Line]], tolerance: float, where: str) -> Row:
    """Student's interval of the mean over the pairs; one pair has none."""
    found = (
        mean_interval([100 * (chain[WHAT[what]] / lora[WHAT[what]] - 1) for lora, chain in pairs]) if pairs else None
    )
    shapes = list(dict.fromkeys(chain["shape"] for _, chain in pairs)) or ["opt-1.3b"]
    lengths = sorted({chain["length"] for _, chain in pairs}) or [64, 256]
    return Row(
        claim=f"a chain costs no additional {what}",
        where=where,
        reported="no additional cost (certain; numbers not recovered)",
        ours=interval(Span(found.mean, found.low, found.high), " %") if found else "",
        n=f"{len(pairs)} pair{'s' * (len(pairs) > 1)}" if found else "",
        verdict=verdict(tolerance - found.high, tolerance - found.low) if found else "not measured",
        scope=f"a run alone, shape of {' and '.join(SHAPES[shape] for shape in shapes)}, random weights"
        + ", in training or evaluation, whichever takes more" * (what == "memory"),
        command=f"python -m colarepro.bench --contenders c --shapes {' '.join(shapes)} "
        f"--lengths {' '.join(map(str, lengths))} --output benchmarks/training.jsonl",
        seconds=0.0,
        hardware=", ".join(dict.fromkeys(hardware(chain.get("device", "")) for _, chain in pairs)),
    )
