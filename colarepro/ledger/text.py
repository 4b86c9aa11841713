"""The ledger as Markdown: prose in ``preamble.md``, the rule from `verdict`, tables from here."""

import inspect
from collections.abc import Sequence
from pathlib import Path

from colarepro.ledger.by_task import by_task
from colarepro.ledger.evidence import PAPERS_MODELS, Evidence
from colarepro.ledger.row import Row, Section
from colarepro.results.verdict import verdict

BY_TASK = (
    "Differences in points with their 95 % intervals, Holm's p over the tasks of a line, and after the semicolon the "
    "least difference that could be detected, by Holm's first step over these tasks."
)
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
    preamble = Path(__file__).with_name("preamble.md").read_text(encoding="utf-8")
    rule = inspect.cleandoc(verdict.__doc__ or "").split("\n\n", 1)[1]
    absent = not_run(evidence, PAPERS_MODELS)
    parts = [
        preamble.format(
            papers=f"Of the papers' models, {absent}. " if absent else "",
            model=evidence.model,
            arithmetic=arithmetic(evidence),
            rule=rule,
        ).rstrip(),
        _summary(sections),
    ]
    for section in sections:
        parts += [f"## {section.title}", section.note, _table(section.rows)]
    parts += ["## By task", BY_TASK, _lines(by_task(evidence))]
    return "\n\n".join(parts) + "\n"


def arithmetic(evidence: Evidence) -> str:
    """What the campaign's runs have in common, in words."""
    _, dtype, protocol = evidence.campaign
    return f"in {dtype}, on {'the paper' if protocol == 'paper' else protocol}'s draw of the data"


def not_run(evidence: Evidence, models: Sequence[str]) -> str:
    """``OPT-1.3B and Llama-2-7B were not run``; empty if all were."""
    absent = [name for name in models if name not in evidence.models]
    listed = " and ".join([*[", ".join(absent[:-1])] * (len(absent) > 1), *absent[-1:]])
    return f"{listed} {'were' if len(absent) > 1 else 'was'} not run" if absent else ""


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
    seconds = f"{row.seconds:,.0f}" if row.seconds >= 10 else f"{row.seconds:.1f}"
    spent = [f"{seconds} s"] * (row.seconds > 0) + [row.hardware] * bool(row.hardware)
    return [
        row.claim,
        row.where,
        row.reported,
        row.ours or "—",
        row.n or "—",
        f"**{row.verdict}**, {row.scope}",
        f"`{row.command}`" if row.command else "—",
        ", ".join(spent) or "—",
    ]


def _lines(rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])
