"""What claims ask of records."""

import dataclasses

import numpy as np
import pytest

from colarepro.ledger import Evidence
from tests.ledger.conftest import evidence_of, made


def test_the_largest_campaign_counts_alone() -> None:
    records = [*made("lora", 0.7), *made("lora", 0.9, draws=3, dtype="float32"), *made("lora", 0.9, draws=2, model="m")]
    evidence = Evidence(records)
    assert evidence.campaign == ("smollm2-135m", "bfloat16", "paper")
    assert evidence.model == "SmolLM2-135M"
    assert evidence.left_out == 5
    assert len(evidence.answers("rte", "lora")) == 5


def test_tasks_come_in_the_papers_order_and_arms_by_what_is_there() -> None:
    evidence = evidence_of({"mine": {"lora": 0.5}, "rte": {"cola, length 3": 0.5}, "wsc": {"lora": 0.5}})
    assert evidence.tasks == ["wsc", "rte", "mine"]
    assert evidence.chain == "cola, length 2"
    assert evidence.first_of("cola, length 4", "cola, length 3") == "cola, length 3"


def test_an_arm_that_lost_a_draw_is_not_compared() -> None:
    lora, cola = made("lora", 0.7), made("cola, length 2", 0.9)
    assert set(Evidence([*lora, *cola]).comparisons("cola, length 2", "lora")) == {"rte"}
    for status in ("diverged", "failed"):
        cola[3] = dataclasses.replace(cola[3], status=status)
        assert not Evidence([*lora, *cola]).comparisons("cola, length 2", "lora")
        assert not Evidence([*lora, *cola]).answers("rte", "cola, length 2")
    del cola[3]  # never tried by this arm: the others pair
    assert Evidence([*lora, *cola]).comparisons("cola, length 2", "lora")["rte"].draws == 4


def test_answers_after_the_last_epoch_are_compared_where_there_are_any() -> None:
    lora, cola = made("lora", 0.7), made("cola, length 2", 0.9)
    assert not Evidence([*lora, *cola]).comparisons("cola, length 2", "lora", "test_last")
    for record in lora:
        record.predictions["test_last"] = record.predictions["test_labels"]
    for record in cola:
        record.predictions["test_last"] = record.predictions["test"]
    found = Evidence([*lora, *cola]).comparisons("cola, length 2", "lora", "test_last")["rte"]
    wrong = 1 - np.mean([record.scores["test_accuracy"] for record in cola])
    assert found.difference == pytest.approx(-100 * wrong)


def test_the_majority_line() -> None:
    evidence = evidence_of({"wsc": {"lora": 0.6}})
    found = evidence.over_majority("wsc", "lora")
    assert found is not None
    labels = np.array(evidence.answers("wsc", "lora")[0].predictions["test_labels"])
    share = max((labels == 0).mean(), (labels == 1).mean())
    assert found.difference == pytest.approx(evidence.accuracies("wsc", "lora").mean() - 100 * share)
    assert evidence.over_majority("wsc", "full") is None


def test_costs_are_means_and_seconds_sums_over_every_learning_rate() -> None:
    """Time in dev is a part of training, and is not added to it."""
    records = [*made("lora", 0.7), *made("lora", 0.8, learning_rate=5e-4), *made("zero-shot", 0.5)]
    evidence = Evidence(records)
    assert evidence.cost("rte", "lora", "seconds_train") == 2
    assert evidence.seconds(["rte"], ["lora"]) == 10 * 2.5
    assert evidence.devices(["rte"], ["lora"]) == "GPU"
    assert np.isnan(evidence.cost("rte", "lora", "nothing"))


def test_without_records_nothing_is_there() -> None:
    evidence = Evidence([])
    assert evidence.tasks == []
    assert evidence.comparisons("cola", "lora") == {}
    assert evidence.seconds(["rte"], ["lora"]) == 0
