"""Every comparison of the ledger task by task, with p-values that Holm's correction has been through."""

import math

from colarepro.ledger.chain_length import LENGTHS
from colarepro.ledger.controls import PAIRS
from colarepro.ledger.evidence import Evidence
from colarepro.ledger.rank_step_down import RANKS, arm
from colarepro.ledger.row import interval
from colarepro.ledger.wording import number, p_value
from colarepro.results import Comparison, holm


def by_task(evidence: Evidence) -> list[list[str]]:
    """Rows of text, the heads first: what is compared, then a task a column; pairs without any task are left out."""
    pairs = [(evidence.chain, "lora")]
    pairs += [(f"cola, length {length}", "lora") for length in LENGTHS]
    pairs += [(arm(rank), "lora") for rank in RANKS]
    pairs += [(first, second) for _, first, second in PAIRS]
    rows = [["first - second", *evidence.tasks]]
    for first, second in dict.fromkeys(pairs):
        found = evidence.comparisons(first, second)
        adjusted = dict(zip(found, holm([comparison.p for comparison in found.values()]), strict=True))
        cells = {task: _cell(comparison, float(adjusted[task]), len(found)) for task, comparison in found.items()}
        if cells:
            rows.append([f"`{first}` - `{second}`", *(cells.get(task, "—") for task in evidence.tasks)])
    return rows


def _cell(comparison: Comparison, adjusted: float, tests: int) -> str:
    shown = interval(comparison)
    if math.isnan(adjusted):
        return shown
    found = "no difference" if comparison.low == comparison.high else number(comparison.detectable(tests), 1)
    return f"{shown}, {p_value(adjusted)}; {found}"
