"""Does accuracy rise with the chain's length? The paper's Figure 2 and Table 4, and lengths it did not try."""

from colarepro.ledger.evidence import Evidence
from colarepro.ledger.row import OURS, Row, Section, count_of, mean_row, row
from colarepro.ledger.several import least, most

REPORTED = "rises for most tasks (certain; numbers not recovered)"
LENGTHS = (2, 3, 4, 5, 6)
WHERE = "Figure 2 and Table 4, OPT-1.3B"


def section(evidence: Evidence) -> Section:
    arms = {1: "lora", 2: evidence.first_of("cola, length 2", "cola"), 3: "cola, length 3"}
    rows = [
        mean_row(evidence, f"{second} links exceed {first}", WHERE, REPORTED, arms[second], arms[first])
        for first, second in ((1, 2), (2, 3), (1, 3))
    ]
    rows.append(_both_steps(evidence, arms))
    rows += [
        mean_row(evidence, f"{length} links exceed 1", OURS, "—", f"cola, length {length}", "lora")
        for length in LENGTHS[2:]
        if evidence.comparisons(f"cola, length {length}", "lora")
    ]
    return Section("Chain length", "At equal numbers of epochs; one link is LoRA. Means over tasks.", rows)


def _both_steps(evidence: Evidence, arms: dict[int, str]) -> Row:
    """A task rises if both of its steps do, the smaller one with them."""
    first, second = (evidence.comparisons(arms[length + 1], arms[length]) for length in (1, 2))
    steps = {task: least([first[task], second[task]]) for task in first if task in second}
    usual = most(steps.values()) if steps else None
    rising = sum(step.difference > 0 for step in steps.values())
    return row(
        evidence,
        "accuracy rises from 1 link to 2 and from 2 to 3, on most tasks",
        WHERE,
        REPORTED,
        list(arms.values()),
        usual,
        f"both steps rise on {rising} of {len(steps)}; {usual.text('smaller steps')}" if usual else "",
        count_of([first[task] for task in steps]) if steps else "",
        tasks=list(steps),
    )
