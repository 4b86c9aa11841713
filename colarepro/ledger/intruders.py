"""Intruder dimensions at the end of training, from the records of ``colarepro anatomy``."""

from dataclasses import replace

import numpy as np
import pandas as pd

from colarepro.ledger.evidence import PHASES, Evidence, hardware
from colarepro.ledger.row import Row, Span, interval
from colarepro.results import CELL, mean_interval, runs_table, selected
from colarepro.results.verdict import verdict


def row(evidence: Evidence) -> Row:
    """COLA against LoRA: means over tasks in every draw that has all of them, and Student's interval over draws."""
    runs = _runs(evidence)
    model, dtype, _ = evidence.campaign
    command = f"colarepro anatomy --model {model} --dtype {dtype} --output runs/llm"
    found, ours, n = None, "", ""
    if not runs.empty:
        by_draw = runs.pivot_table(index="data_seed", columns=["arm", "task"], values="intruders_last").dropna()
        chain, lora = (np.asarray(by_draw[arm]).mean(axis=1) for arm in (evidence.chain, "lora"))
        if not by_draw.empty:
            found = mean_interval(list(chain - lora))
            difference = interval(Span(found.mean, found.low, found.high))
            ours = f"{chain.mean():.2f} against {lora.mean():.2f} of a layer's 10 leading directions: {difference}"
            tasks = evidence.in_order(runs["task"])
            n = f"{len(tasks)} task{'s' * (len(tasks) > 1)}, {len(by_draw)} draw{'s' * (len(by_draw) > 1)}"
            command += f" --task {' '.join(tasks)}"
    seconds = runs[[name for name in (*PHASES, "seconds_watch") if name in runs]].sum().sum() if found else 0.0
    return Row(
        claim="chains have more intruder dimensions than methods without them",
        where="README of its code",
        reported="stated (certain; numbers not recovered)",
        ours=ours,
        n=n,
        verdict=verdict(found.low, found.high) if found else "not measured",
        scope=f"COLA against LoRA on {evidence.model}",
        command=command,
        seconds=float(seconds),
        hardware=", ".join(sorted(set(map(hardware, runs["device"])))) if found else "",
    )


def _runs(evidence: Evidence) -> pd.DataFrame:
    """The campaign's finished runs of both arms, at the rates that dev chose, on the tasks that both have."""
    as_runs = (replace(record, kind="llm") for record in evidence.anatomy)  # the table takes no other kind
    runs = selected(runs_table(as_runs))
    if runs.empty:
        return runs
    campaign = (runs[CELL[:3]] == list(evidence.campaign)).all(axis=1)
    runs = runs[campaign & (runs["status"] == "done") & runs["arm"].isin([evidence.chain, "lora"])]
    return runs[runs.groupby("task")["arm"].transform("nunique") == 2]
