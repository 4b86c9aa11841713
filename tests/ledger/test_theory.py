"""The theory's rows, from the records that come with the repository."""

import pytest

from colarepro.ledger import theory
from colarepro.ledger.theory import word
from colarepro.results import Record, Store
from colarepro.results.record import identity_of
from colarepro.theory.claims import CLAIMS
from colarepro.theory.experiments import EXPERIMENTS, Settings
from colarepro.theory.verdict import Said
from tests.ledger.conftest import ROOT


@pytest.fixture(scope="module")
def records() -> list[Record]:
    return list(Store(ROOT / "data" / "theory"))


def test_the_records_answer_todays_questions(records: list[Record]) -> None:
    """All that the command asks by default, and nothing else."""
    jobs = [job for experiment in EXPERIMENTS.values() for job in experiment(Settings())]
    asked = {identity_of("theory", config) for job in jobs for config in job.configs}
    assert {record.identity for record in records} == asked


def test_every_claim_is_measured_on_them(records: list[Record]) -> None:
    rows = theory.section(records).rows
    assert [row.claim for row in rows[: len(CLAIMS)]] == [f"{claim.name}: {claim.statement}" for claim in CLAIMS]
    assert all(row.ours and row.seconds > 0 and row.hardware for row in rows[: len(CLAIMS)])
    words = {"supported", "contradicted", "supported in part", "measured"}
    assert {row.verdict for row in rows[: len(CLAIMS)]} <= words


def test_without_records_nothing_is_measured() -> None:
    assert {row.verdict for row in theory.section([]).rows} == {"not measured"}


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ((True, True), "supported"),
        ((True, False), "supported in part"),
        ((False, False), "contradicted"),
        ((True, None), "supported in part"),
        ((None, True), "supported in part"),
        ((False, None), "cannot tell at this n"),
        ((None,), "cannot tell at this n"),
        ((), "measured"),
    ],
)
def test_the_word_follows_the_parts(parts: tuple[bool | None, ...], expected: str) -> None:
    assert word(Said("", parts)) == expected


def test_without_an_answer_nothing_is_measured() -> None:
    assert word(None) == "not measured"
