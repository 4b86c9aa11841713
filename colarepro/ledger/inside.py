"""What training left in the weights, from the records of ``colarepro anatomy``: COLA against LoRA."""

from dataclasses import replace

import numpy as np
import pandas as pd

from colarepro.ledger.evidence import PHASES, Evidence, hardware
from colarepro.ledger.row import OURS, Row, Section, Span, interval
from colarepro.ledger.wording import counted
from colarepro.results import CELL, mean_interval, runs_table, selected
from colarepro.results.verdict import verdict


def section(evidence: Evidence) -> Section:
    rows = [
        _row(
            evidence,
            "COLA forgets less than LoRA",
            OURS,
            "—",
            "forgetting",
            "{chain:+.2f} against {lora:+.2f} in perplexity on other text",
            less=True,
        ),
        _row(
            evidence,
            "COLA's update has a higher effective rank than LoRA's",
            OURS,
            "—",
            "effective_rank_last",
            "{chain:.1f} against {lora:.1f}, mean over layers",
        ),
        _row(
            evidence,
            "the last link is a better Frank-Wolfe oracle than all of LoRA",
            OURS,
            "—",
            "share_last",
            "{chain:.3f} against {lora:.3f} of the best gain missed",
            less=True,
        ),
    ]
    return Section(
        "Inside a chain",
        "Our questions, put as claims, of runs that were watched while they trained (`colarepro anatomy`), after the "
        "last step. Means over tasks, Student's interval over draws.",
        rows,
    )


def intruders(evidence: Evidence) -> Row:
    """Beyond LoRA's remark."""
    return _row(
        evidence,
        "chains have more intruder dimensions than methods without them",
        "README of its code",
        "stated (certain; numbers not recovered)",
        "intruders_last",
        "{chain:.2f} against {lora:.2f} of a layer's 10 leading directions",
    )


def _row(
    evidence: Evidence, claim: str, where: str, reported: str, score: str, words: str, *, less: bool = False
) -> Row:
    """COLA minus LoRA: means over tasks in every draw that has all of them, and Student's interval over draws; with
    ``less`` the claim is that it is negative."""
    runs = _runs(evidence, score)
    model, dtype, _ = evidence.campaign
    command = f"colarepro anatomy --model {model} --dtype {dtype} --output runs/llm --arm lora cola-2"
    found, ours, n = None, "", ""
    if not runs.empty:
        by_draw = runs.pivot_table(index="data_seed", columns=["arm", "task"], values=score).dropna()
        chain, lora = (np.asarray(by_draw[arm]).mean(axis=1) for arm in (evidence.chain, "lora"))
        if not by_draw.empty:
            found = mean_interval(list(chain - lora))
            difference = interval(Span(found.mean, found.low, found.high))
            ours = f"{words.format(chain=chain.mean(), lora=lora.mean())}: {difference}"
            tasks = evidence.in_order(runs["task"])
            rates = ", ".join(f"{rate:g}" for rate in sorted(runs["learning_rate"].unique()))
            n = f"{counted(len(tasks), 'task')}, {counted(len(by_draw), 'draw')}, learning rate {rates}"
            command += f" --task {' '.join(tasks)}"
    word = "not measured"
    if found:
        word = verdict(-found.high, -found.low) if less else verdict(found.low, found.high)
    seconds = runs[[name for name in (*PHASES, "seconds_watch") if name in runs]].sum().sum() if found else 0.0
    return Row(
        claim=claim,
        where=where,
        reported=reported,
        ours=ours,
        n=n,
        verdict=word,
        scope=f"COLA against LoRA on {evidence.model}",
        command=command,
        seconds=float(seconds),
        hardware=", ".join(sorted(set(map(hardware, runs["device"])))) if found else "",
    )


def _runs(evidence: Evidence, score: str) -> pd.DataFrame:
    """The campaign's finished runs of both arms that have this score, at the rates that dev chose, on the tasks that
    both have."""
    as_runs = (replace(record, kind="llm") for record in evidence.anatomy)  # the table takes no other kind
    runs = selected(runs_table(as_runs))
    if runs.empty or score not in runs:
        return runs.iloc[:0]
    campaign = (runs[CELL[:3]] == list(evidence.campaign)).all(axis=1)
    runs = runs[campaign & (runs["status"] == "done") & runs["arm"].isin([evidence.chain, "lora"])]
    runs = runs.dropna(subset=score)
    return runs[runs.groupby("task")["arm"].transform("nunique") == 2]
