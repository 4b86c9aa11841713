"""The ledger: every claim of the paper, and of the works that ran it again, beside what the records say.

`evidence` is what claims ask of language-model records; one file a group of claims makes rows; `text` and `report`
write them. To add a claim, add a row to its group.
"""

from collections.abc import Iterable
from pathlib import Path

from colarepro.ledger import chain_length, controls, costs, inside, rank_step_down, reruns, table_1, theory
from colarepro.ledger.evidence import Evidence
from colarepro.ledger.pools import read_pools
from colarepro.ledger.report import report
from colarepro.ledger.reported import Reported
from colarepro.ledger.row import Row, Section
from colarepro.ledger.text import ledger
from colarepro.results import Record


def sections(evidence: Evidence, reported: Reported, proved: Iterable[Record], benchmark: Path) -> list[Section]:
    """All groups of claims; ``proved`` are the theory's records, ``benchmark`` is the benchmark's file of rows."""
    found = [record for record in proved if record.kind == "theory"]
    return [
        table_1.section(evidence, reported),
        chain_length.section(evidence),
        rank_step_down.section(evidence),
        costs.section(evidence, benchmark),
        controls.section(evidence),
        controls.majority(evidence, reported),
        inside.section(evidence),
        reruns.rac_lora(evidence, reported, found),
        reruns.beyond_lora(evidence, reported),
        theory.section(found),
    ]


__all__ = ["Evidence", "Reported", "Row", "Section", "ledger", "read_pools", "report", "sections"]
