"""A second link of smaller rank against LoRA of rank 8: the paper's Figure 3."""

from colarepro.ledger.evidence import Evidence
from colarepro.ledger.row import Row, Section, count_of, mean_row, row
from colarepro.ledger.several import at_least

RANKS = (2, 4, 6, 8)
WHERE = "Figure 3, OPT-1.3B"


def arm(rank: int) -> str:
    """Rank 8 for three epochs, then this rank for two."""
    return f"cola, knot 3, ranks 8-{rank}"


def section(evidence: Evidence) -> Section:
    rows = [
        mean_row(
            evidence, f"ranks 8 and {rank} exceed LoRA of rank 8", WHERE, "above, but for one point", arm(rank), "lora"
        )
        for rank in RANKS
    ]
    rows.append(_all_but_one(evidence))
    return Section(
        "Rank step-down", "Rank 8 for three epochs, then a link of the second rank for two. Means over tasks.", rows
    )


def _all_but_one(evidence: Evidence) -> Row:
    points = {(rank, task): found for rank in RANKS for task, found in evidence.comparisons(arm(rank), "lora").items()}
    second = at_least(len(points) - 1, points.values()) if len(points) > 1 else None
    above = sum(found.difference > 0 for found in points.values())
    return row(
        evidence,
        "every point but one lies above LoRA of rank 8",
        WHERE,
        "11 of 12 points (certain; which three tasks is not known)",
        [*map(arm, RANKS), "lora"],
        second,
        f"above at {above} of {len(points)}; {second.text('gains')}" if second else "",
        f"{len(points)} points, " + count_of(list(points.values())).partition("tasks, ")[2] if second else "",
        tasks=sorted({task for _, task in points}),
    )
