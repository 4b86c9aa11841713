"""The theory's claims, judged by the testbed's records."""

from collections.abc import Sequence

from colarepro.ledger.row import Row, Section
from colarepro.results import Record
from colarepro.theory.claims import CLAIMS, evidence, said
from colarepro.theory.verdict import Said

SHIFT = Row(
    "Theorem 4.1 extends to data whose distribution shifts, if it does so sublinearly in time",
    "COLA, remark on Theorem 4.1",
    "a remark (certain)",
    "",
    "",
    "not measured",
    "no experiment here shifts its data",
    "",
    0.0,
    "",
)


def section(records: Sequence[Record]) -> Section:
    rows = []
    for claim in CLAIMS:
        own = evidence(claim, records)
        answer = said(claim, own)
        seeds = sorted({len(record.config["seeds"]) for record in own})
        rows.append(
            Row(
                f"{claim.name}: {claim.statement}",
                f"{claim.source}; [proof](theory/{claim.page})",
                "—",
                answer.text if answer else "",
                f"{len(own)} cases, {' or '.join(map(str, seeds))} seed{'s' * (seeds != [1])}" if answer else "",
                word(answer),
                "synthetic problems",
                "python -m colarepro.theory.synthetic",
                sum(record.costs.get("seconds", 0.0) for record in own),
                ", ".join(sorted({record.environment["device"] for record in own})),
            )
        )
    return Section(
        "The theory",
        "A theorem is supported if nothing measured violates it, and contradicted by one violation. Other claims are "
        "judged part by part, an arm, a case or a cell: supported if all parts hold, contradicted if all fail, cannot "
        "tell if none holds and some cannot be told, else supported in part. Where runs end in several ways, a part "
        "holds or fails as more than half of the seeds do, or cannot be told. What is no matter of yes or no is "
        "measured. Statements are exact, so most measures count violations.",
        [*rows, SHIFT],
    )


def word(answer: Said | None) -> str:
    """The word that the section's note promises for what the records say."""
    if answer is None:
        return "not measured"
    parts = answer.parts
    if not parts:
        return "measured"
    if True in parts:
        return "supported" if all(parts) else "supported in part"
    return "cannot tell at this n" if None in parts else "contradicted"
