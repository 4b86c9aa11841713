"""A question, the record that answers it, and the loop that answers what a store does not hold yet."""

import math
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from rich.progress import track

from colarepro import processes
from colarepro.results import Record, Store, environment, mean_interval
from colarepro.theory.method import Method, Solution
from colarepro.theory.problem import ProblemSpec
from colarepro.theory.trace import Status

Curves = dict[str, np.ndarray]  # (measurements, S) by name; "step" (measurements,)


@dataclass(frozen=True)
class Job:
    """Questions (each ``config`` names a record) that are answered together, in the same order."""

    configs: list[dict[str, Any]]
    answer: Callable[[], list[Record]]


def job(config: dict[str, Any], answer: Callable[[], Record]) -> Job:
    """One question with one answer."""
    return Job([config], partial(_single, answer))


def _single(answer: Callable[[], Record]) -> list[Record]:
    return [answer()]


def run(jobs: Iterable[Job], store: Store, workers: int = 1) -> list[Record]:
    """Answer every question that ``store`` does not answer yet, with a progress bar; return all answers in order.

    With more than one of ``workers`` the questions are shared among as many processes.
    """
    jobs = list(jobs)
    known = [[store.get("theory", config) for config in one.configs] for one in jobs]
    missing = [index for index, found in enumerate(known) if None in found]
    questions = [jobs[index] for index in missing]
    with ExitStack() as stack:
        answers: Iterable[list[Record]] = map(_answered, questions)
        if workers > 1 and len(questions) > 1:
            pool = stack.enter_context(processes.workers(min(workers, len(questions))))
            futures = [pool.submit(_answered, question) for question in questions]
            answers = (future.result() for future in futures)
        for index, answer in zip(missing, track(answers, description="theory", total=len(missing)), strict=True):
            for record in answer:
                store.put(record)
            known[index] = list(answer)
    return [record for found in known for record in found if record is not None]


def _answered(question: Job) -> list[Record]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the matrices are tiny; threads only wait for each other
    began = time.perf_counter()
    try:
        records = question.answer()
    finally:
        torch.set_num_threads(threads)
    for record in records:
        record.costs["seconds"] = (time.perf_counter() - began) / len(records)
    return records


def config_of(
    experiment: str,
    spec: ProblemSpec,
    label: str,
    method: Method[Any] | None,
    seeds: Sequence[int],
    **more: Any,
) -> dict[str, Any]:
    """What a record of this experiment was asked: enough to run it again."""
    return {
        "experiment": experiment,
        "problem": spec.config(),
        "label": label,
        "method": method.config() if method else {"name": "closed-form"},
        "seeds": list(seeds),
        **more,
    }


def record_of(
    config: dict[str, Any],
    curves: Curves,
    scores: dict[str, float],
    *,
    diverged: int = 0,
    costs: dict[str, float] | None = None,
) -> Record:
    """A record with one list a seed for every curve."""
    listed: dict[str, Any] = {"step": [int(step) for step in curves["step"]]}
    for name, values in curves.items():
        if name != "step":
            listed[name] = [_rounded(seed) for seed in np.asarray(values, dtype=float).T]
    return Record(
        kind="theory",
        config=config,
        status="diverged" if diverged else "done",
        reason=f"{diverged} of {len(config['seeds'])} seeds diverged." if diverged else "",
        scores={name: float(value) for name, value in scores.items()},
        curves=listed,
        costs=dict(costs or {}),
        environment=environment("cpu"),
    )


def curves_of(run: Solution, names: Sequence[str]) -> Curves:
    """These measurements of a run."""
    return {"step": np.array(run.trace.step), **{name: np.array(getattr(run.trace, name)) for name in names}}


def costs_of(run: Solution) -> dict[str, float]:
    """Counters of one seed, and the seconds of all of them."""
    trace = run.trace
    return {
        "gradients": float(trace.gradients[-1]),
        "lmo_calls": float(trace.lmo_calls[-1]),
        "svds": float(trace.svds[-1]),
        "flops": float(trace.flops[-1]),
        "seconds_stepping": trace.seconds[-1],
    }


def diverged(run: Solution) -> int:
    """How many seeds left all bounds."""
    return sum(status is Status.DIVERGED for status in run.status)


def interval(name: str, values: np.ndarray, geometric: bool = False) -> dict[str, float]:
    """Scores ``name_mean``, ``name_low``, ``name_high`` of one number a seed."""
    return mean_interval([float(value) for value in values], geometric=geometric).scores(name)


def geometric_grid(last: int, points: int = 13) -> list[int]:
    """Whole numbers from 1 to ``last``, about evenly spaced on a logarithmic axis."""
    return sorted({round(last ** (index / (points - 1))) for index in range(points)})


def _rounded(values: np.ndarray) -> list[float]:
    """Eight digits: more than a plot or a test reads, at half the record's size."""
    return [float(f"{value:.8g}") if math.isfinite(value) else float(value) for value in values]
