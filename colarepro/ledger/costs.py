"""No additional cost, and less with a smaller second link: the paper's Table 3."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from colarepro.ledger import speed
from colarepro.ledger.evidence import Evidence
from colarepro.ledger.rank_step_down import RANKS, arm
from colarepro.ledger.row import Row, Section, Span, row

TOLERANCE = 1.0
"""Per cent within which two costs count as equal."""
WHERE = "Table 3, OPT-1.3B"


def section(evidence: Evidence, benchmark: Path) -> Section:
    """``benchmark`` is the file of the benchmark's rows, for time and memory."""
    chain, links = evidence.chain, evidence.first_of("cola, length 3", "cola, length 2")
    rows = [
        _no_more(evidence, "FLOPs", _flops(evidence, [chain, links], "lora"), [chain, links, "lora"]),
        _no_more(
            evidence,
            "parameters trained at once",
            _extra(evidence, [chain, links], "parameters_trained"),
            [chain, links, "lora"],
        ),
        *speed.rows(benchmark, TOLERANCE, WHERE),
        _falling(evidence),
    ]
    return Section(
        "Cost",
        f"In per cent above LoRA's, FLOPs per token fed; {TOLERANCE:g} % above counts as no more. FLOPs leave out "
        "the merges, so that links of LoRA's rank cost no more of them by construction. FLOPs and parameters have no "
        "error, and their brackets hold the least and the most over tasks and arms; those of time and memory are "
        "Student's interval over pairs of a chain and LoRA.",
        rows,
    )


def _no_more(evidence: Evidence, what: str, extra: Sequence[float], arms: Sequence[str]) -> Row:
    """Not above LoRA's by more than the tolerance: what is left of it is positive."""
    span = _span(extra)
    return row(
        evidence,
        f"a chain costs no additional {what}",
        WHERE,
        "no additional cost (certain; numbers not recovered)",
        arms,
        Span(*(TOLERANCE - end for end in (span.difference, span.high, span.low))) if span else None,
        f"{span.difference:+.2f} % [{span.low:+.2f}, {span.high:+.2f}]" if span else "",
        _runs(evidence, arms),
        scope=f"shape of {evidence.model}",
    )


def _falling(evidence: Evidence) -> Row:
    """Each smaller rank saves against the next larger one, on every task."""
    arms = [arm(rank) for rank in RANKS]
    steps = [
        saved
        for smaller, larger in pairwise(arms)
        for saved in (-extra for extra in _flops(evidence, [smaller], larger))
    ]
    least = min(steps, default=float("nan"))
    by_rank = {rank: _span(_flops(evidence, [arm(rank)], "lora")) for rank in RANKS}
    shown = ", ".join(f"8-{rank} {span.difference:+.2f} %" for rank, span in by_rank.items() if span)
    return row(
        evidence,
        "the smaller the second rank, the fewer FLOPs",
        WHERE,
        "falls from rank 8 to 2 (certain; numbers not recovered)",
        [*arms, "lora"],
        Span(least, least, least) if steps else None,
        f"against LoRA: {shown}; each step down saves at least {least:.3f} %",
        _runs(evidence, arms),
        scope=f"shape of {evidence.model}",
        tasks=[task for task in evidence.tasks if all(evidence.answers(task, name) for name in (*arms, "lora"))],
    )


def _flops(evidence: Evidence, arms: Sequence[str], other: str) -> list[float]:
    return _extra(evidence, arms, "flops_train", other)


def _extra(evidence: Evidence, arms: Sequence[str], name: str, other: str = "lora") -> list[float]:
    """Per cent by which these arms exceed the other one, one for every arm and task that has both."""
    found = []
    for name_of_arm in dict.fromkeys(arms):
        for task in evidence.tasks:
            own, base = _cost(evidence, task, name_of_arm, name), _cost(evidence, task, other, name)
            if own == own and base == base and base:
                found.append(100 * (own / base - 1))
    return found


def _cost(evidence: Evidence, task: str, name_of_arm: str, name: str) -> float:
    """Per token fed, padding included, where it grows with them."""
    cost = evidence.cost(task, name_of_arm, name)
    if name not in ("flops_train", "seconds_train"):
        return cost
    return cost * (1 - evidence.cost(task, name_of_arm, "padding_share")) / evidence.cost(task, name_of_arm, "tokens")


def _span(values: Sequence[float]) -> Span | None:
    return Span(sum(values) / len(values), min(values), max(values)) if values else None


def _runs(evidence: Evidence, arms: Sequence[str]) -> str:
    count = int(evidence.runs["arm"].isin(list(arms)).sum()) if not evidence.runs.empty else 0
    return f"{count} runs"
