"""The ledger as Markdown."""

import inspect
from collections.abc import Sequence

from colarepro.ledger.evidence import Evidence
from colarepro.ledger.row import Row, Section
from colarepro.results.verdict import verdict

HEADS = (
    "claim",
    "where",
    "reported, how sure",
    "ours [95 % interval]",
    "n",
    "verdict",
    "command",
    "seconds, hardware",
)


def ledger(sections: Sequence[Section], evidence: Evidence) -> str:
    """The whole of CLAIMS.md."""
    rule = inspect.cleandoc(verdict.__doc__ or "").split("\n\n", 1)[1]
    parts = [
        "# Claims and verdicts",
        "Written by `python -m colarepro.claims` from the records in `data/results` and `data/theory`; not edited by "
        "hand.",
        f"**Which model.** The papers' models (OPT-1.3B, Llama-2-7B, RoBERTa-base) were not run. Every verdict on "
        f"language models is on **{evidence.model}**, {arithmetic(evidence)}, and tests a claim's direction on another "
        "model than the claim was made for; what contradicts it here says nothing sure of there. `data/reported.csv` "
        "holds the reported numbers, and `data/README.md` what certain, secondhand, from memory and doubtful mean.",
        "**Measures** are differences in test accuracy, in points, of arms at the learning rate of least mean dev "
        "loss. An interval is of 95 % over draws and items together (`colarepro/results/crossed.py`). On one task p is "
        "from a paired permutation test, with Holm's correction over the tasks; of a mean over tasks from Student's t. "
        "What could be detected is the true difference that is found with 80 % power. **Seconds** are those of all "
        "runs behind a row, every learning rate; runs of a fleet count with their part of it. After its command, "
        "`python -m colarepro.claims --records runs/llm` judges the new records.",
        f"**The rule for the words.** {rule}",
        _summary(sections),
    ]
    for section in sections:
        parts += [f"## {section.title}", section.note, _table(section.rows)]
    return "\n\n".join(parts) + "\n"


def arithmetic(evidence: Evidence) -> str:
    """What the campaign's runs have in common, in words."""
    _, dtype, protocol = evidence.campaign
    return f"in {dtype}, on {'the paper' if protocol == 'paper' else protocol}'s draw of the data"


def _summary(sections: Sequence[Section]) -> str:
    words = list(dict.fromkeys(row.verdict for section in sections for row in section.rows))
    rows = [
        [section.title, *(str(sum(row.verdict == word for row in section.rows) or "") for word in words)]
        for section in sections
    ]
    return _lines([["", *words], *rows])


def _table(rows: Sequence[Row]) -> str:
    return _lines([list(HEADS), *(_cells(row) for row in rows)])


def _cells(row: Row) -> list[str]:
    spent = f"{row.seconds:,.0f}" if row.seconds >= 10 else f"{row.seconds:.1f}"
    return [
        row.claim,
        row.where,
        row.reported,
        row.ours or "—",
        row.n or "—",
        f"**{row.verdict}**, {row.scope}",
        f"`{row.command}`" if row.command else "—",
        f"{spent} s, {row.hardware}" if row.seconds else "—",
    ]


def _lines(rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])
