"""What theory and language models say of the same statements."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from colarepro.figures.arms import setting, span
from colarepro.figures.figure import Figure
from colarepro.figures.side_by_side import NOISE, SAMPLES
from colarepro.figures.statements import ELSEWHERE, MODELS, REGRESSION, STATEMENTS, Halves
from colarepro.results import Record
from colarepro.results.verdict import verdict


def table(records: Sequence[Record]) -> pd.DataFrame:
    """By statement and half: the difference or ratio with its 95 % interval, the repetitions, and whether the interval
    supports the statement; empty unless both halves have records."""
    pairs = [measure.pair for measures in STATEMENTS.values() for measure in measures if measure.pair is not None]
    halves = Halves(records, pairs)
    if not halves.theory or halves.runs.empty:
        return pd.DataFrame()
    rows = []
    for statement, measures in STATEMENTS.items():
        for measure in measures:
            found = measure.interval(halves)
            row: dict[str, Any] = {"statement": statement, "half": measure.half, "unit": measure.unit}
            if found is None:
                rows.append(row | {"word": "not measured"})
                continue
            low, high = np.log([found.low, found.high]) if measure.unit.startswith("×") else (found.low, found.high)
            row["word"] = verdict(-high, -low) if measure.less else verdict(low, high)
            rows.append(row | {"value": found.mean, "low": found.low, "high": found.high, "repetitions": found.count})
    first = halves.runs.iloc[0]
    return pd.DataFrame(rows).assign(model=first["model"], dtype=first["dtype"])


TOLD = {"supported", "contradicted"}


def together(words: pd.Series) -> str:
    """Whether both halves say the same, from the words by half."""
    theory, models = set(words.drop(MODELS)) & TOLD, words[MODELS]
    if len(theory) > 1:
        return "theory is of two minds"
    if not theory or models not in TOLD:
        return "not measured" if models == "not measured" else "cannot tell"
    return "agree" if theory == {models} else "differ"


def draw(frame: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for statement, own in frame.groupby("statement", sort=False):
        cells = {row["half"]: _cell(row) for _, row in own.iterrows()}
        words = own.set_index("half")["word"]
        rows.append(
            {"statement": statement}
            | {half: cells.get(half, "") for half in (REGRESSION, ELSEWHERE, MODELS)}
            | {"together": together(words)}
        )
    return pd.DataFrame(rows)


def _cell(row: pd.Series) -> str:
    if row["word"] == "not measured":
        return "not measured"
    form = ".2g" if row["unit"].startswith("×") else "+.2f"
    value, low, high = (f"{row[name]:{form}}" for name in ("value", "low", "high"))
    return f"{row['word'].removesuffix(' at this n')}: {value} [{low}, {high}] {row['unit']}"


def caption(frame: pd.DataFrame) -> str:
    repetitions = frame.dropna(subset="repetitions").set_index("half")["repetitions"]
    theory, models = repetitions[repetitions.index != MODELS], repetitions[repetitions.index == MODELS]
    draws = f"{span(models)} draws" if len(models) else "too few tasks or arms"
    return (
        "Statements that both halves test: first minus second, or their ratio (×), paired, with 95 % intervals. "
        f"Theory: {span(theory)} seeds; chains of eight rank-1 links on noiseless regression after equal gradients, of "
        "ten on the digits, of 96 on the quadratic; for unseen data and gaps rank-1 links on regression with noise "
        f"{NOISE:g} and {SAMPLES} samples. Language models: {setting(frame)}, {draws}, chains of two "
        "links of rank 8 where no length is named, mean over tasks. Supported or contradicted: the whole interval is "
        "on one side of no difference. The halves agree or differ only where both can tell."
    )


AGREEMENT = Figure("agreement", "Where theory and practice agree", "both", table, draw, caption)
