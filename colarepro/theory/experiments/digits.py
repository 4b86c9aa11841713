"""Real data: a tanh network from the digits 0-4 to the digits 5-9, the offline cousin of RAC-LoRA's MNIST table."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch

from colarepro.results import Record
from colarepro.theory.experiments.job import Job, config_of, costs_of, curves_of, diverged, interval, job, record_of
from colarepro.theory.experiments.settings import Settings
from colarepro.theory.method import minimize
from colarepro.theory.methods import AdamW, AsymmetricLora, Cola, Full, Lora, RacLora, ReLora, Restart
from colarepro.theory.problems import DigitsSpec

SPEC = DigitsSpec()
LINKS = 10
RATES = (0.01, 0.03, 0.1)


def digits(settings: Settings) -> Iterator[Job]:
    """Rank 1, AdamW, the learning rate of least mean train loss on seeds of its own for every arm."""
    steps = max(40, settings.steps // 4)
    options: dict[str, Any] = {"descent": AdamW(RATES[0])}
    arms: dict[str, Any] = {
        "full": Full(AdamW(RATES[0])),
        "LoRA, rank 1": Lora(**options),
        f"LoRA, rank {LINKS}": Lora(rank=LINKS, **options),
        "asymmetric LoRA": AsymmetricLora(**options),
        f"COLA, {LINKS} links": Cola(length=LINKS, **options),
        f"RAC-LoRA, {LINKS} links": RacLora(length=LINKS, draw="gaussian", **options),
        f"ReLoRA, {LINKS} links": ReLora(length=LINKS, warmup=2, **options),
        "restart without merge": Restart(length=LINKS, **options),
    }
    for label, method in arms.items():
        config = config_of(
            "digits",
            SPEC,
            label,
            method,
            range(settings.seeds),
            steps=steps,
            learning_rates=list(RATES),
            tuned_on_seeds=[1001, 1002],
        )
        yield job(config, partial(_answer, method, config))


def _answer(method: Any, config: dict[str, Any]) -> Record:
    tuning, steps = SPEC.draw(config["tuned_on_seeds"]), config["steps"]

    def final(rate: float) -> float:
        run = minimize(
            tuning,
            replace(method, descent=AdamW(rate)),
            steps=steps,
            seeds=config["tuned_on_seeds"],
            every=steps,
        )
        return float(np.nan_to_num(run.trace.loss[-1], nan=np.inf).mean())

    rate = min(config["learning_rates"], key=final)
    problem = SPEC.draw(config["seeds"])
    run = minimize(
        problem, replace(method, descent=AdamW(rate)), steps=steps, seeds=config["seeds"], every=max(1, steps // 10)
    )
    start = problem.test_accuracy(problem.start)
    accuracy = problem.test_accuracy(run.weight)
    m, n = problem.shape
    trained = {"full": m * n, "asymmetric-lora": m, "rac-lora": m}.get(
        method.name, (m + n) * getattr(method, "rank", 1)
    )
    return record_of(
        config,
        curves_of(run, ("loss", "test_loss")),
        {
            **interval("accuracy", 100 * torch.as_tensor(accuracy).numpy()),
            **interval("start_accuracy", 100 * torch.as_tensor(start).numpy()),
            **interval("rank", run.trace.rank[-1]),
            "learning_rate": rate,
            "trained": float(trained),
        },
        diverged=diverged(run),
        costs=costs_of(run),
    )
