"""A verdict follows from the records, whichever way they go. Page: theory/README.md."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from colarepro.errors import ColaError
from colarepro.results import Record, Store
from colarepro.theory.claims import CLAIMS, evidence, refuse_mixed, said, verdicts
from colarepro.theory.experiments import EXPERIMENTS

ROOT = Path(__file__).parents[2]


def record(experiment: str, label: str, scores: dict[str, float], **config: Any) -> Record:
    curves = config.pop("curves", {})
    return Record(
        kind="theory",
        config={"experiment": experiment, "label": label, "seeds": [0, 1, 2, 3], **config},
        scores=scores,
        curves=curves,
    )


def verdict(name: str, records: list[Record]) -> str:
    return {claim.name: text for claim, text in verdicts(records)}[name]


def test_every_claim_has_a_page_that_names_it_and_an_experiment_that_measures_it() -> None:
    measured = {*EXPERIMENTS, "path"}
    for claim in CLAIMS:
        assert (ROOT / "theory" / claim.page).exists(), claim.page
        assert claim.experiment in measured
    assert len({claim.name for claim in CLAIMS}) == len(CLAIMS)
    readme = (ROOT / "theory/README.md").read_text()
    assert set(re.findall(r"\(([\w-]+\.md)\)", readme)) >= {claim.page for claim in CLAIMS}


def test_without_records_nothing_is_claimed() -> None:
    assert {text for _, text in verdicts([])} == {"not measured"}


def theorem(needed: float) -> list[Record]:
    scores = {"needed_constant": needed, "iterates": 100.0, "first_valid": 3.0}
    return [record("theorem", label, scores) for label in ("exact", "exact, best step", "minibatch", "LoRA link")]


def test_the_theorem_is_judged_by_the_constant_that_each_version_claims() -> None:
    allowed = "at every T that its condition allows, 300 iterates; constants needed"
    assert verdict("Theorem 4.1, as proved", theorem(1.1)).startswith(f"holds in 3 cases, {allowed} 1.10 to 1.10")
    assert verdict("Theorem 4.1, best step", theorem(1.1)).startswith("holds in 1 cases")
    between = theorem(1.7)  # too much for the proof's 1.5, not for the printed 2
    assert verdict("Theorem 4.1, as proved", between).startswith("fails in 3 of 3 cases")
    assert verdict("Theorem 4.1, as printed", between).startswith("holds in 3 cases")
    assert verdict("Theorem 4.1, as printed", theorem(2.1)).startswith("fails in 3 of 3 cases")
    one = [*theorem(1.1)[:3], *theorem(1.7)[3:]]
    (claim,) = [claim for claim in CLAIMS if claim.name == "Theorem 4.1, as proved"]
    answer = said(claim, evidence(claim, one))
    assert answer is not None
    assert answer.text.startswith("fails in 1 of 3 cases")
    assert answer.parts == (False,)  # a theorem is contradicted by one case
    assert "T ≥ 3" in verdict("its condition", theorem(1.1))


@pytest.mark.parametrize(("low", "word"), [(0.8, "holds two-sided"), (0.96, "fails for ranks [2]")])
def test_the_exact_contraction_must_lie_in_the_interval(low: float, word: str) -> None:
    scores = {"factor_mean": 0.97, "factor_low": low, "factor_high": 0.98, "factor_bound": 0.95}
    found = verdict("RAC-LoRA, isotropic", [record("rac-lora", "isotropic", scores, method={"rank": 2})])
    assert found.startswith(word)


def outcomes(fresh: dict[str, float]) -> list[Record]:
    words = {"converged": 0.0, "stalled": 0.0, "still falling": 0.0, "diverged": 0.0}
    labels = ("COLA, same A", "LoRA", "RAC-LoRA", "RAC-LoRA, no projection", "COLA, fresh A, local step")
    return [
        record(
            "counterexample", label, words | (fresh if label == "COLA, fresh A" else {"stalled": 4.0}), factor=factor
        )
        for label in ("COLA, fresh A", *labels)
        for factor in (1.0, 0.1, 0.01)
    ]


@pytest.mark.parametrize(
    ("fresh", "small", "large"),
    [
        ({"converged": 4.0}, "fails for COLA, fresh A: 4/4 converged", "fails for COLA, fresh A"),
        ({"stalled": 3.0, "converged": 1.0}, "holds for COLA, fresh A: 1/4 converged and 3/4 stalled", "fails for"),
        ({"diverged": 4.0}, "cannot tell at this budget for COLA, fresh A", "holds for COLA, fresh A: 4/4 diverged"),
        ({"still falling": 4.0}, "cannot tell at this budget for COLA, fresh A: 4/4 still falling", "cannot tell"),
    ],
)
def test_the_counterexample_is_judged_by_how_most_runs_end(fresh: dict[str, float], small: str, large: str) -> None:
    records = outcomes(fresh)
    found = verdict("COLA stalls at small steps", records)
    assert found.startswith(small)
    assert "holds for COLA, same A: 4/4 stalled" in found
    found = verdict("COLA diverges at 1/L", records)
    assert found.startswith(large)
    assert "fails for COLA, same A: 4/4 stalled" in found


def generalization(tests: Callable[[int, int], float], full: float) -> list[Record]:
    records = []
    for label, lengths in (("COLA, rank-1 links", (1, 2, 3)), ("LoRA, summed rank", (1, 2, 3)), ("full", (0,))):
        for length in lengths:
            losses = [full + 0.01 * seed if label == "full" else tests(length, seed) for seed in range(4)]
            records.append(
                record(
                    "generalization",
                    label,
                    {"test_loss_mean": sum(losses) / 4},
                    length=length,
                    problem={"noise": 1.0, "samples": 28, "rank": 2},
                    curves={"step": [10], "test_loss": [[loss] for loss in losses]},
                )
            )
    return records


def test_the_u_and_its_bottom() -> None:
    u = generalization(lambda length, seed: (length - 2) ** 2 + 0.01 * seed, full=1.0)
    assert verdict("best chain length", u) == "the least test loss is at the true rank 2 in 1 of 1 cells"
    falling = generalization(lambda length, seed: -length + 0.01 * seed, full=1.0)
    assert "in 0 of 1 cells; elsewhere at 3 (noise 1, N 28)" in verdict("best chain length", falling)


def test_a_chain_beats_full_fine_tuning_only_beyond_the_paired_interval() -> None:
    clear = generalization(lambda length, seed: 0.5 + 0.01 * seed, full=1.0)
    assert verdict("a chain beats full fine-tuning", clear).startswith("holds in 1 of 1 cells; LoRA of that rank in 1:")
    # The mean is lower, but the seeds disagree.
    doubtful = generalization(lambda length, seed: (0.0, 1.6, 0.2, 1.8)[seed], full=1.0)
    found = verdict("a chain beats full fine-tuning", doubtful)
    assert found.startswith("holds in 0 of 1 cells; cannot be told when noise 1, N 28; LoRA of that rank in 0:")
    worse = generalization(lambda length, seed: 1.5 + 0.01 * seed * seed, full=1.0)
    found = verdict("a chain beats full fine-tuning", worse)
    assert found.startswith("holds in 0 of 1 cells; fails when noise 1, N 28; LoRA of that rank in 0:")


@pytest.mark.parametrize(
    ("name", "lacking"),
    [
        ("COLA diverges at 1/L", "LoRA"),
        ("COLA diverges at 1/L", "COLA, same A"),
        ("COLA stalls at small steps", "RAC-LoRA"),
        ("a chain beats full fine-tuning", "full"),
        ("a chain beats full fine-tuning", "LoRA, summed rank"),
    ],
)
def test_a_claim_whose_arm_is_not_there_is_not_measured(name: str, lacking: str) -> None:
    """As an interrupted run leaves it."""
    records = outcomes({"diverged": 4.0}) + generalization(lambda length, seed: 0.5, full=1.0)
    assert verdict(name, records) != "not measured"
    assert verdict(name, [record for record in records if record.config["label"] != lacking]) == "not measured"


def test_records_of_any_part_of_the_arms_are_read() -> None:
    """The committed ones, each arm left out once, and each alone."""
    records = list(Store(ROOT / "data/theory"))
    for arm in sorted({(record.config["experiment"], record.config["label"]) for record in records}):
        own = [record for record in records if (record.config["experiment"], record.config["label"]) == arm]
        others = [record for record in records if record not in own and record.config["experiment"] == arm[0]]
        for part in (own, others):
            found = verdicts(part)
            assert [claim for claim, _ in found] == list(CLAIMS)
            assert {text for claim, text in found if claim.experiment != arm[0]} == {"not measured"}


def test_records_of_two_settings_are_no_evidence_together() -> None:
    records = outcomes({"diverged": 4.0})
    refuse_mixed(records)
    other = record("counterexample", "LoRA", {}, factor=0.1)
    other.config["seeds"] = [0, 1]
    with pytest.raises(ColaError, match="hold 'LoRA' of 'counterexample' with 4 and with 2 seeds; expected those of"):
        refuse_mixed([*records, other])
