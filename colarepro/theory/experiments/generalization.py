"""Train loss, test loss and their difference against chain length, on noisy data, at equal budgets."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch

from colarepro.results import Record
from colarepro.theory.experiments.job import Job, config_of, interval, record_of
from colarepro.theory.experiments.settings import Settings
from colarepro.theory.method import Method, minimize
from colarepro.theory.methods import Cola, Full, Lora
from colarepro.theory.problem import join
from colarepro.theory.problems import LowRankRegression, RegressionSpec

BASE = RegressionSpec(outputs=12, inputs=20, samples=28, rank=4, size=4.0, test_samples=400)
NOISES = (0.5, 1.0, 2.0)
SAMPLES = (22, 28, 60)


def generalization(settings: Settings) -> Iterator[Job]:
    """Rank-1 links; the references are one LoRA of the summed rank (equal trained parameters), at equal steps and at
    equal floating-point operations, full fine-tuning, the best update of each rank in closed form, and least
    squares. Noise levels share a batch: they differ in the numbers alone."""
    seeds = range(settings.seeds)
    steps = settings.steps * 3 // 4
    lengths = range(1, settings.longest_chain + 1)
    m, n = BASE.outputs, BASE.inputs
    for samples in SAMPLES:
        specs = [replace(BASE, samples=samples, noise=noise) for noise in NOISES]
        arms: list[tuple[int, str, Method[Any] | None, int]] = [
            *((length, "COLA, rank-1 links", Cola(length=length), steps) for length in lengths),
            *((rank, "LoRA, summed rank", Lora(rank=rank), steps) for rank in lengths),
            *(
                (rank, "LoRA, summed rank, equal FLOPs", Lora(rank=rank), _equal_flops(steps, rank, m, n))
                for rank in lengths
            ),
            (0, "full", Full(), steps),
            *((rank, "best of this rank", None, 0) for rank in lengths),
            (0, "least squares", None, 0),
        ]
        for length, label, method, budget in arms:
            configs = [
                config_of("generalization", spec, label, method, seeds, length=length, steps=budget) for spec in specs
            ]
            yield Job(
                configs,
                partial(_answers, specs, configs, method),
            )


def _equal_flops(steps: int, rank: int, m: int, n: int) -> int:
    """Steps of LoRA at this rank that cost what ``steps`` of rank-1 links cost: a full gradient over the Gram
    matrix, 2 m n n, and three products of an adapter, 6 m n r."""
    return max(1, round(steps * (2 * n + 6) / (2 * n + 6 * rank)))


def _answers(specs: list[RegressionSpec], configs: list[dict[str, Any]], method: Method[Any] | None) -> list[Record]:
    seeds = configs[0]["seeds"]
    problem: LowRankRegression = join([spec.draw(seeds) for spec in specs])
    flops = 0.0
    if method is None:
        weight = problem.best_at_rank(configs[0]["length"] or min(problem.shape)).weight
    else:
        steps = configs[0]["steps"]
        run = minimize(problem, method, steps=steps, seeds=list(seeds) * len(specs), every=steps)
        weight, flops = run.weight, run.trace.flops[-1]
    losses = torch.stack([problem.loss(weight), problem.test_loss(weight)]).reshape(2, len(specs), len(seeds)).numpy()
    records = []
    for config, train, test in zip(configs, losses[0], losses[1], strict=True):
        values = {"train_loss": train, "test_loss": test, "generalization_gap": test - train}
        records.append(
            record_of(
                config,
                {"step": np.array([config["steps"]]), **{name: value[None] for name, value in values.items()}},
                {key: score for name, value in values.items() for key, score in interval(name, value).items()},
                costs={"flops": flops},
            )
        )
    return records
