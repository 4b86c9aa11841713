"""Language-model records as a table of runs, and the runs that an arm is judged by."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from colarepro.results.arms import arm, rest
from colarepro.results.record import Record

CELL = ["model", "dtype", "protocol", "task", "arm"]
"""Columns within which a learning rate is chosen."""


def runs_table(records: Iterable[Record]) -> pd.DataFrame:
    """One row for every record of kind ``llm``, whatever its status, in the order of the columns `CELL`.

    Beside `CELL`: ``rest`` (what else was asked, as text), ``learning_rate`` (NaN where the arm reads none), ``seed``
    (NA likewise), ``data_seed``, ``status``, ``identity``, ``device``, ``commit`` and ``test_examples`` (items judged;
    0 without predictions); then all scores and costs under the names that the record has, NaN where a run has none.
    """
    rows = []
    for record in records:
        if record.kind != "llm":
            continue
        config = record.config
        rows.append(
            {
                "model": config["model"],
                "dtype": config.get("dtype", "float32"),
                "protocol": config.get("protocol", "paper"),
                "task": config["task"],
                "arm": arm(record),
                "rest": rest(record),
                "learning_rate": config.get("learning_rate", np.nan),
                "seed": config.get("seed"),
                "data_seed": config.get("data_seed", 0),
                "status": record.status,
                "identity": record.identity,
                "device": record.environment.get("device", ""),
                "commit": record.environment.get("commit", "")[:7],
                "test_examples": len(record.predictions.get("test", ())),
                "dev_loss": np.nan,
                **record.scores,
                **record.costs,
            }
        )
    if not rows:
        return pd.DataFrame()
    frame = pd.DataFrame(rows).astype({"seed": "Int64", "learning_rate": float, "dev_loss": float})
    return frame.sort_values([*CELL, "learning_rate", "data_seed", "seed", "identity"], ignore_index=True)


def selected(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of `runs_table` at the learning rate that the dev split chooses, within every `CELL`.

    It is the one with the least mean dev loss over the draws, the smaller one of two equals. A diverged run counts as
    an infinite dev loss, a failed one as missing. Only learning rates with as many runs as any other of the cell can
    be chosen, since a mean over the easier draws says less. What else was asked (``rest``) is chosen along with it, if
    it varies. Arms that read no learning rate pass through. No test score is looked at.

    A column more, ``whole``: whether every draw that the cell tried, at any learning rate and however it ended, is
    there and done, and it had as many learning rates to choose from as any arm of the task. Else an arm could gain by
    the draws that it lost, or lose by a choice that it was not given, as in a sweep that is not at its end.
    """
    if frame.empty:
        return frame
    given = _given(frame)
    frame = frame.assign(draw=frame["data_seed"].astype(str) + " " + frame["seed"].astype(str))
    draws = frame.groupby(CELL)["draw"].nunique().rename("draws").reset_index()
    frame = frame[frame["status"] != "failed"]
    keys = [*CELL, "learning_rate", "rest"]
    loss = frame["dev_loss"].where(frame["status"] == "done", np.inf).fillna(np.inf)
    tried = loss.groupby([frame[key] for key in keys], dropna=False).agg(["mean", "size"]).reset_index()
    whole = tried[tried["size"] == tried.groupby(CELL)["size"].transform("max")]
    best = whole.sort_values(["mean", "learning_rate"], kind="stable").drop_duplicates(CELL)
    chosen = frame.merge(best[keys], on=keys).merge(draws, on=CELL)
    done = chosen["draw"].where(chosen["status"] == "done")
    chosen["whole"] = done.groupby([chosen[key] for key in CELL]).transform("nunique") == chosen["draws"]
    chosen["whole"] &= chosen["learning_rate"].isna() | pd.MultiIndex.from_frame(chosen[CELL]).isin(given)
    return chosen.drop(columns=["draw", "draws"])


def _given(frame: pd.DataFrame) -> "pd.Index[Any]":
    """The cells that have tried as many learning rates as any of their task, counting those with as many runs as any
    other of the cell, however they ended."""
    runs = frame.dropna(subset="learning_rate").groupby([*CELL, "learning_rate", "rest"]).size()
    full = runs[runs == runs.groupby(CELL).transform("max")].reset_index()
    rates = full.groupby(CELL)["learning_rate"].nunique()
    return rates.index[rates == rates.groupby(CELL[:-1]).transform("max")]
