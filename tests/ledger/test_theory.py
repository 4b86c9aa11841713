"""The theory's rows, from the records that come with the repository."""

import pytest

from colarepro.ledger import theory
from colarepro.ledger.theory import word
from colarepro.results import Record, Store
from colarepro.results.record import identity_of
from colarepro.theory.claims import CLAIMS
from colarepro.theory.experiments import EXPERIMENTS, Settings
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
    ("said", "expected"),
    [
        ("holds at every T in 9 cases, 3 iterates", "supported"),
        ("holds; worst factor at r = 1", "supported"),
        ("holds in 9 of 9 cells; LoRA of that rank in 9", "supported"),
        ("holds in 7 of 9 cells; fails when noise 2, N 22; LoRA of that rank in 9", "supported in part"),
        ("holds in 7 of 9 cells; LoRA of that rank in 9", "supported in part"),
        ("fails at 3 values of T", "contradicted"),
        ("fails in 1 of 12 cases; kept of the sum of links", "supported in part"),
        ("fails in 12 of 12 cases; kept of the sum of links", "contradicted"),
        ("fails when links are short: the gain", "supported in part"),
        ("fails for COLA, fresh A: 20/20; holds for COLA, same A: 20/20", "supported in part"),
        ("cannot tell at this budget for a Gaussian A", "cannot tell at this n"),
        ("not covered; measured: the inequality", "measured"),
        ("not measured at the true rank", "not measured"),
        ("needed for the step to stay in the set", "measured"),
    ],
)
def test_the_word_follows_what_is_said(said: str, expected: str) -> None:
    assert word(said) == expected
