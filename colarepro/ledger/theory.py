"""The theory's claims, judged by the testbed's records."""

import re
from collections.abc import Sequence

from colarepro.ledger.row import Row, Section
from colarepro.results import Record
from colarepro.theory.claims import CLAIMS, evidence

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
        said = claim.verdict(own) if own else "not measured"
        seeds = sorted({len(record.config["seeds"]) for record in own})
        rows.append(
            Row(
                f"{claim.name}: {claim.statement}",
                f"{claim.source}; [proof](theory/{claim.page})",
                "—",
                said if own else "",
                f"{len(own)} cases, {' or '.join(map(str, seeds))} seed{'s' * (seeds != [1])}" if own else "",
                word(said),
                "synthetic problems",
                "python -m colarepro.theory.synthetic",
                sum(record.costs.get("seconds", 0.0) for record in own),
                ", ".join(sorted({record.environment["device"] for record in own})),
            )
        )
    return Section(
        "The theory",
        "The words follow what the testbed says: what holds in all cases is supported, what fails in all contradicted; "
        "what is no matter of yes or no is measured. Statements are exact, so most measures count violations.",
        [*rows, SHIFT],
    )


def word(said: str) -> str:
    """The ledger's word for a verdict of `colarepro.theory.verdict`, which begins with "holds" or "fails" if its claim
    is a matter of yes or no, and says of how many cases if not of all."""
    if said.startswith(("not measured", "cannot tell")):
        return "not measured" if said.startswith("not") else "cannot tell at this n"
    parts = re.findall(r"(?:^|; )(holds|fails)\b(?: in (\d+) of (\d+))?", said)
    if not said.startswith(("holds", "fails")):
        return "measured"
    words = {part for part, _, _ in parts}
    some = any(part != whole for _, part, whole in parts) or said.startswith("fails when")
    if some or len(words) == 2:
        return "supported in part"
    return "supported" if words == {"holds"} else "contradicted"
