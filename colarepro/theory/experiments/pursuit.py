"""Greedy pursuit's linear rate, and how far a trained chain is from ideal links."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import torch

from colarepro.results import Record
from colarepro.theory.bounds import pursuit_contraction
from colarepro.theory.experiments.job import Job, config_of, costs_of, interval, job, record_of
from colarepro.theory.experiments.settings import Settings
from colarepro.theory.method import minimize
from colarepro.theory.methods import Cola, Pursuit
from colarepro.theory.problems import FactorizationSpec, RegressionSpec
from colarepro.theory.rates import linear_rate

# Full rank and a flat spectrum: the hard case for a greedy method.
TARGET = FactorizationSpec(rows=24, columns=16, rank=16, decay=0.95)
MASKED = FactorizationSpec(rows=24, columns=16, rank=16, decay=0.95, observed=0.5)
CONDITIONS = (1.0, 4.0, 16.0)
LINK_STEPS = (25, 50, 100, 200, 400)
LINKS = 4


def pursuit(settings: Settings) -> Iterator[Job]:
    """Pursuit of rank 1, 2, 4 against its bound; chains of rank-1 links of 25 to 400 steps against reduced-rank
    regression at each knot, for inputs of growing condition."""
    seeds = range(settings.seeds)
    for spec in (TARGET, MASKED):
        for rank in (1, 2, 4):
            method = Pursuit(rank=rank)
            config = config_of("pursuit", spec, f"pursuit, rank {rank}", method, seeds, steps=14 // rank)
            yield job(config, partial(_pursuit, spec, method, config))
    for condition in CONDITIONS:
        design = RegressionSpec(
            outputs=8, inputs=12, samples=96, rank=6, condition=condition, noise=0.2, test_samples=1
        )
        for steps in LINK_STEPS:
            if steps * LINKS > 4 * settings.steps:
                continue
            chain = Cola(length=LINKS)
            config = config_of("path", design, "COLA", chain, seeds, condition=condition, link_steps=steps)
            yield job(config, partial(_path, design, chain, config))


def _pursuit(spec: FactorizationSpec, method: Pursuit, config: dict[str, Any]) -> Record:
    problem = spec.draw(config["seeds"])
    run = minimize(problem, method, steps=config["steps"], seeds=config["seeds"])
    excess, steps = np.array(run.trace.excess), np.array(run.trace.step)
    factor = pursuit_contraction(method.rank, problem.shape)
    relative = excess / excess[0]
    bound = factor ** steps.astype(float)
    worst = relative[1:] / relative[:-1]
    kept = relative.min(1) > 1e-10
    scores = {
        "factor_bound": factor,
        "worst_factor": float(worst[kept[1:]].max()),
        "tightest_ratio": float((relative / bound[:, None]).max(1)[1:].max()),
        "violations": float((~(worst[kept[1:]] <= factor * (1 + 1e-9))).sum()),
    }
    if kept.sum() >= 4:
        scores |= linear_rate(steps[kept], relative[kept]).scores("log_factor")
    return record_of(
        config, {"step": steps, "relative": relative, "bound": bound[:, None]}, scores, costs=costs_of(run)
    )


def _path(spec: RegressionSpec, method: Cola, config: dict[str, Any]) -> Record:
    problem = spec.draw(config["seeds"])
    steps = config["link_steps"]
    run = minimize(problem, method, steps=steps * LINKS, seeds=config["seeds"], every=steps)
    loss = np.array(run.trace.loss)
    ideal = np.array(
        [problem.loss(problem.start).numpy()] + [problem.best_at_rank(k).value.numpy() for k in range(1, LINKS + 1)]
    )
    # What the chain has not gained of what ideal links of the same number would have gained.
    lag = (loss - ideal)[1:] / (ideal[0] - ideal)[1:]
    last = problem.best_at_rank(LINKS).weight - problem.start
    distance = torch.linalg.matrix_norm(run.weight - problem.start - last) / torch.linalg.matrix_norm(last)
    return record_of(
        config,
        {"step": np.arange(1, LINKS + 1), "lag": lag},
        {**interval("lag", np.maximum(lag[-1], 1e-12), geometric=True), **interval("distance", distance.numpy())},
        costs=costs_of(run),
    )
