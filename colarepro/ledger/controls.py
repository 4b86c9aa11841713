"""What the paper did not compare with: its parts one by one, other methods, and no training at all."""

from colarepro.ledger.evidence import Evidence
from colarepro.ledger.reported import Reported
from colarepro.ledger.row import OURS, Row, Section, count_of, interval, mean_row, row
from colarepro.ledger.wording import p_value
from colarepro.results import Comparison, holm

PAIRS = (
    ("merging a link exceeds restarting optimizer and learning rate", "cola, length 2", "lora-restart, length 2"),
    ("restarting optimizer and learning rate exceeds LoRA", "lora-restart, length 2", "lora"),
    ("two links exceed one LoRA of their summed rank", "cola, length 2", "lora-rank-sum, length 2"),
    ("three links exceed one LoRA of their summed rank", "cola, length 3", "lora-rank-sum, length 3"),
    ("a fresh A exceeds the same A in every link", "cola, length 2", "cola, length 2, same A"),
    ("restarting the rate at the knot exceeds continuing it", "cola, knot 3, restart LR", "cola, knot 3"),
    ("a knot after three epochs exceeds one after the first", "cola, knot 3", "cola, knot 1"),
    ("the same exceeds itself, trained again under another name", "cola, knot 3", "cola, knot 3, ranks 8-8"),
    ("COLA exceeds ReLoRA", "cola, length 2", "relora, length 2"),
    ("COLA exceeds RAC-LoRA", "cola, length 2", "rac-lora, length 2"),
    ("COLA exceeds asymmetric LoRA", "cola, length 2", "asym-lora"),
    ("COLA exceeds full fine-tuning", "cola, length 2", "full"),
    ("COLA exceeds a linear probe", "cola, length 2", "linear-probe"),
    ("LoRA exceeds a linear probe", "lora", "linear-probe"),
    ("LoRA exceeds the model without training", "lora", "zero-shot"),
)
SMALL = ("wsc", "cb")
"""Tasks on which a reported score does not exceed, or hardly, what the commonest label earns."""


def section(evidence: Evidence) -> Section:
    rows = [mean_row(evidence, claim, OURS, "—", first, second) for claim, first, second in PAIRS]
    return Section(
        "Controls that the paper lacks",
        "Our questions, put as claims; each arm that trains by gradients had the same grid of learning rates and the "
        "same epochs. Means over tasks. Where COLA ties a knot its learning rate goes on, the restart's does not, so "
        "the first row weighs both.",
        rows,
    )


def majority(evidence: Evidence, reported: Reported) -> Section:
    """Arms against the commonest label on the two smallest test sets."""
    rows = _over_majority(evidence, reported, "lora", "lora")
    rows += _over_majority(evidence, reported, "cola", evidence.chain)
    return Section(
        "The majority line",
        "A test set's commonest label, given to every item, is the least that a score should exceed.",
        rows,
    )


def _over_majority(evidence: Evidence, reported: Reported, name: str, arm: str) -> list[Row]:
    """One claim, asked of two tasks."""
    over = {task: evidence.over_majority(task, arm) for task in SMALL}
    found = {task: comparison for task, comparison in over.items() if comparison is not None}
    adjusted = dict(zip(found, holm([comparison.p for comparison in found.values()]), strict=True))
    return [_over(evidence, reported, task, name, arm, found.get(task), adjusted.get(task)) for task in SMALL]


def _over(
    evidence: Evidence,
    reported: Reported,
    task: str,
    name: str,
    arm: str,
    found: Comparison | None,
    adjusted: float | None,
) -> Row:
    ours = ""
    if found:
        own = evidence.accuracies(task, arm).mean()
        ours = f"{own:.2f} against {own - found.difference:.2f}: {interval(found, ' points')}"
        if adjusted is not None and found.draws > 1:
            ours += f"; Holm {p_value(adjusted)}"
    return row(
        evidence,
        f"{name.replace('lora', 'LoRA').replace('cola', 'COLA')} exceeds the commonest label on {task}",
        "Table 1, OPT-1.3B",
        f"a score of {reported.say(source='cola', where='Table 1', task=task, arm=name)}",
        [arm],
        found,
        ours,
        count_of([found]) if found else "",
        p=0.0 if adjusted is None else adjusted,
        tasks=[task],
    )
