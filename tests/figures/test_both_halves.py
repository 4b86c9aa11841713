"""Figures of both halves: each half's numbers are its records', and the words follow from the intervals."""

import math
import statistics

import numpy as np
import pandas as pd
import pytest

from colarepro.figures import figure
from colarepro.figures.agreement import MODELS, together
from colarepro.figures.statements import STATEMENTS
from colarepro.results import Record
from tests.figures.campaign import DRAWS, TASKS
from tests.figures.test_llm_figures import chosen, row


def test_gap_is_test_minus_train_after_the_last_epoch(records: list[Record], runs: list[Record]) -> None:
    table = figure("gap-side-by-side").table(records)
    gaps = {
        (task, draw): record.scores["test_loss_last"] - record.scores["train_loss_last"]
        for task in TASKS
        for draw, record in enumerate(chosen(runs, task, "cola, length 3"))
    }
    where = {"half": "language model", "quantity": "loss", "series": "chain", "length": 3}
    one = row(table, task="wic", **where)
    assert one["mean"] == pytest.approx(statistics.mean(gaps["wic", draw] for draw in range(DRAWS)))
    means = [statistics.mean(gaps[task, draw] for task in TASKS) for draw in range(DRAWS)]
    whole = row(table, task="all tasks", **where)
    half = 4.30265 * statistics.stdev(means) / math.sqrt(3)  # Student's t with 2 degrees of freedom
    assert (whole["mean"], whole["high"]) == pytest.approx(
        (statistics.mean(means), statistics.mean(means) + half), rel=1e-5
    )


def test_gap_of_theory_is_its_record(records: list[Record]) -> None:
    (record,) = [
        record
        for record in records
        if record.config.get("experiment") == "generalization"
        and record.config["label"] == "LoRA, summed rank"
        and record.config["length"] == 2
        and (record.config["problem"]["noise"], record.config["problem"]["samples"]) == (1.0, 28)
    ]
    table = figure("gap-side-by-side").table(records)
    found = row(table, half="theory", series="one LoRA of the links' summed rank", length=2)
    assert found["mean"] == record.scores["generalization_gap_mean"]


def test_agreement_pairs_theory_by_seed(records: list[Record]) -> None:
    table = figure("agreement").table(records)
    final = {
        record.config["label"]: [seed[-1] for seed in record.curves["excess"]]
        for record in records
        if record.config.get("experiment") == "convergence" and record.config["problem"]["name"] == "regression"
    }
    ratios = np.divide(final["COLA, 8 links, AdamW"], final["ReLoRA, AdamW"])
    found = row(table, statement="COLA beats ReLoRA", half="theory: regression")
    assert found["value"] == pytest.approx(statistics.geometric_mean(ratios))
    supported = found["high"] < 1
    assert (found["word"] == "supported") == supported
    assert found["repetitions"] == 2


def test_agreement_has_the_language_models_means(records: list[Record]) -> None:
    table = figure("agreement").table(records)
    forest = figure("forest").table([record for record in records if record.kind == "llm"])
    mean = row(forest, epoch="best epoch", first="cola, length 2", task="mean of tasks")
    found = row(table, statement="a chain beats LoRA of a link's rank", half=MODELS)
    assert found[["value", "low", "high"]].tolist() == mean[["difference", "low", "high"]].tolist()


def test_agreement_of_lora_alone_says_that_language_models_were_not_measured(
    theory: list[Record], runs: list[Record]
) -> None:
    table = figure("agreement").table([*theory, *(record for record in runs if record.config["method"] == "lora")])
    assert set(table.loc[table["half"] == MODELS, "word"]) == {"not measured"}
    assert "too few tasks or arms" in figure("agreement").caption(table)


def test_a_smaller_gap_supports_a_smaller_gap(records: list[Record], runs: list[Record]) -> None:
    def gaps(name: str) -> list[float]:
        own = [chosen(runs, task, name) for task in TASKS]
        return [
            statistics.mean(some[draw].scores["test_loss_last"] - some[draw].scores["train_loss_last"] for some in own)
            for draw in range(DRAWS)
        ]

    differences = np.subtract(gaps("cola, length 3"), gaps("lora"))
    found = row(figure("agreement").table(records), statement="three links have a smaller gap than one", half=MODELS)
    assert found["value"] == pytest.approx(differences.mean())
    word = "supported" if found["high"] < 0 else "contradicted" if found["low"] > 0 else "cannot tell at this n"
    assert found["word"] == word


@pytest.mark.parametrize(
    ("statement", "curve", "second"),
    [
        ("three links beat one on unseen data", "test_loss", ("COLA, rank-1 links", 1)),
        ("three links have a smaller gap than one", "generalization_gap", ("COLA, rank-1 links", 1)),
        (
            "three links have a smaller gap than LoRA of their summed rank",
            "generalization_gap",
            ("LoRA, summed rank", 3),
        ),
    ],
)
def test_theory_s_chains_of_three_are_paired_by_seed(
    statement: str, curve: str, second: tuple[str, int], records: list[Record]
) -> None:
    found = {
        (record.config["label"], record.config["length"]): [seed[-1] for seed in record.curves[curve]]
        for record in records
        if record.config.get("experiment") == "generalization"
        and (record.config["problem"]["noise"], record.config["problem"]["samples"]) == (1.0, 28)
    }
    mean = np.subtract(found["COLA, rank-1 links", 3], found[second]).mean()
    table = figure("agreement").table(records)
    assert row(table, statement=statement, half="theory: regression")["value"] == pytest.approx(mean)


def test_every_statement_is_of_both_halves(records: list[Record]) -> None:
    halves = figure("agreement").table(records).groupby("statement")["half"].agg(set)
    assert set(halves.index) == set(STATEMENTS)
    assert all(MODELS in half and len(half) > 1 for half in halves)


@pytest.mark.parametrize(
    ("theory", "models", "word"),
    [
        (["supported"], "supported", "agree"),
        (["contradicted", "cannot tell at this n"], "contradicted", "agree"),
        (["supported"], "contradicted", "differ"),
        (["supported", "contradicted"], "supported", "theory is of two minds"),
        (["supported"], "cannot tell at this n", "cannot tell"),
        (["cannot tell at this n"], "supported", "cannot tell"),
        (["supported"], "not measured", "not measured"),
    ],
)
def test_together(theory: list[str], models: str, word: str) -> None:
    words = pd.Series({f"theory: {place}": said for place, said in enumerate(theory)} | {MODELS: models})
    assert together(words) == word
