"""The language-model records as claims ask for them: one campaign, its arms at the learning rates dev chose."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache

import numpy as np
import pandas as pd

from colarepro.results import CELL, Comparison, Record, compare, runs_table, selected

TASKS = ("sst2", "wsc", "cb", "wic", "boolq", "multirc", "rte")
"""In the order of the paper's tables."""
NAMES = {"smollm2-135m": "SmolLM2-135M", "facebook/opt-1.3b": "OPT-1.3B", "meta-llama/Llama-2-7b-hf": "Llama-2-7B"}
PAPERS_MODELS = ("OPT-1.3B", "Llama-2-7B", "RoBERTa-base")
PHASES = ["seconds_prepare", "seconds_train", "seconds_test"]
"""They add up to a run; ``seconds_dev`` and ``seconds_knots`` are parts of training."""


class Evidence:
    """Records of kind ``llm``, of the model, type of arithmetic and protocol that most of them have, and watched runs.

    ``pools`` holds the rows of a task's validation split, for `compare`.
    """

    def __init__(self, records: Iterable[Record], pools: Mapping[str, int] | None = None) -> None:
        by_kind: dict[str, list[Record]] = {"llm": [], "anatomy": []}
        for record in records:
            by_kind.setdefault(record.kind, []).append(record)
        found = by_kind["llm"]
        self.anatomy = by_kind["anatomy"]
        """Those of kind ``anatomy``, of any model."""
        frame = runs_table(found)
        self.left_out = 0
        """Records of other models, types or protocols."""
        if not frame.empty:
            sizes = frame.groupby(CELL[:3]).size()
            model, dtype, protocol = sizes.index[int(sizes.argmax())]
            self.campaign = (str(model), str(dtype), str(protocol))
            belongs = (frame[CELL[:3]] == list(self.campaign)).all(axis=1)
            self.left_out = int((~belongs).sum())
            frame = frame[belongs].reset_index(drop=True)
        else:
            self.campaign = ("smollm2-135m", "bfloat16", "paper")
        self.runs = frame
        """`runs_table` of them: every learning rate, whatever the status."""
        self.chosen = selected(frame)
        self.records = {record.identity: record for record in found}
        self._pools = pools
        self._cells = {} if frame.empty else dict(list(self.chosen.groupby(["task", "arm"])))
        self._cached = cache(self._compare)

    @property
    def model(self) -> str:
        """The model as people write it."""
        return NAMES.get(self.campaign[0], self.campaign[0])

    @property
    def models(self) -> set[str]:
        """All models with a finished run, in the campaign or not, as people write them."""
        done = [record.config["model"] for record in self.records.values() if record.status == "done"]
        return {NAMES.get(model, model) for model in done}

    def of_model(self, name: str) -> "Evidence":
        """The evidence of this model's records alone."""
        own = [record for record in self.records.values() if NAMES.get(record.config["model"]) == name]
        return Evidence(own, self._pools)

    @property
    def tasks(self) -> list[str]:
        """The tasks that have records, in order."""
        return self.in_order([] if self.runs.empty else self.runs["task"])

    @staticmethod
    def in_order(tasks: Iterable[str]) -> list[str]:
        """Each once, the paper's first and in its order."""
        there = set(tasks)
        return [task for task in TASKS if task in there] + sorted(there.difference(TASKS))

    @property
    def chain(self) -> str:
        """The arm that stands for COLA where a claim names no length: two links, the shortest chain that is one."""
        return self.first_of("cola, length 2", "cola")

    def first_of(self, *arms: str) -> str:
        """The first of these arms that any task has; without any, the first."""
        return next((arm for arm in arms if any(arm == name for _, name in self._cells)), arms[0])

    def answers(self, task: str, arm: str) -> list[Record]:
        """The records of an arm at its chosen learning rate; none if it is absent or not whole, as `selected` says."""
        cell = self._cells.get((task, arm))
        if cell is None or not cell["whole"].all():
            return []
        return [self.records[identity] for identity in cell["identity"]]

    def _compare(self, task: str, first: str, second: str, split: str) -> Comparison | None:
        one, other = self.answers(task, first), self.answers(task, second)
        if not one or not other or any(split not in record.predictions for record in (*one, *other)):
            return None
        return compare(one, other, self._pools, split)

    def over_majority(self, task: str, arm: str) -> Comparison | None:
        """An arm against the test set's commonest label as the answer to everything."""
        own = self.answers(task, arm)
        return compare(own, [_constant(record) for record in own], self._pools) if own else None

    def comparisons(self, first: str, second: str, split: str = "test") -> dict[str, Comparison]:
        """First arm minus second by task, where both have answers; ``split`` as in `compare`."""
        found = {task: self._cached(task, first, second, split) for task in self.tasks}
        return {task: comparison for task, comparison in found.items() if comparison is not None}

    def accuracies(self, task: str, arm: str) -> np.ndarray:
        """Test accuracy by draw, in percent."""
        return np.array([100 * record.scores["test_accuracy"] for record in self.answers(task, arm)])

    def cost(self, task: str, arm: str, name: str) -> float:
        """Mean over all finished runs of an arm, whatever the learning rate; NaN without."""
        if name not in self.runs:
            return float("nan")
        rows = self._of([task], [arm])
        return float(rows.loc[rows["status"] == "done", name].mean())

    def seconds(self, tasks: Sequence[str], arms: Sequence[str]) -> float:
        """What all runs of these arms took together, every learning rate; a run's part of what a fleet took."""
        rows = self._of(tasks, arms)
        return float(rows[[name for name in PHASES if name in rows]].sum().sum())

    def devices(self, tasks: Sequence[str], arms: Sequence[str]) -> str:
        """The hardware of these runs."""
        if self.runs.empty:
            return ""
        names = self._of(tasks, arms)["device"].unique().tolist()
        return ", ".join(sorted({hardware(name) for name in names}))

    def _of(self, tasks: Sequence[str], arms: Sequence[str]) -> pd.DataFrame:
        if self.runs.empty:
            return self.runs
        return self.runs[self.runs["task"].isin(list(tasks)) & self.runs["arm"].isin(list(arms))]


def hardware(device: str) -> str:
    """``NVIDIA H200`` of ``cuda:0 (NVIDIA H200)``."""
    return device.partition("(")[2].rstrip(")") or device


def _constant(record: Record) -> Record:
    labels = record.predictions["test_labels"]
    commonest = max(sorted(set(labels)), key=labels.count)
    answers = {"test": [commonest] * len(labels), "test_labels": labels}
    return Record("llm", record.config, predictions=answers, digests=record.digests)
