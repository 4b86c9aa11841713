"""Real data: a tanh network from the digits 0-4 to the digits 5-9, the offline cousin of RAC-LoRA's MNIST table."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch

from colarepro.results import Record
from colarepro.theory.experiments.convergence import Arm
from colarepro.theory.experiments.job import Job, config_of, costs_of, curves_of, diverged, interval, job, record_of
from colarepro.theory.experiments.settings import Settings
from colarepro.theory.method import Method, minimize
from colarepro.theory.methods import AsymmetricLora, Cola, Full, Lora, RacLora, ReLora, Restart
from colarepro.theory.problems import DigitsSpec

SPEC = DigitsSpec(images=60)
LINKS = 10


def digits(settings: Settings) -> Iterator[Job]:
    """Rank 1, AdamW, at the learning rate of least train loss on seeds of its own for every arm."""
    steps = max(2 * LINKS, settings.steps // 4)
    arms: dict[str, Method[Any]] = {
        "full": Full(),
        "LoRA, rank 1": Lora(),
        f"LoRA, rank {LINKS}": Lora(rank=LINKS),
        "asymmetric LoRA": AsymmetricLora(),
        f"COLA, {LINKS} links": Cola(length=LINKS),
        f"RAC-LoRA, {LINKS} links": RacLora(length=LINKS, draw="gaussian"),
        f"ReLoRA, {LINKS} links": ReLora(length=LINKS, warmup=2),
        "restart without merge": Restart(length=LINKS),
    }
    for label, method in arms.items():
        arm = Arm(label, method, settings.rates)
        config = config_of("digits", SPEC, label, method, range(settings.seeds), **arm.config(), steps=steps)
        yield job(config, partial(_answer, arm, config))


def _answer(arm: Arm, config: dict[str, Any]) -> Record:
    method, chosen = arm.chosen(SPEC, config["steps"])
    problem = SPEC.draw(config["seeds"])
    every = max(1, config["steps"] // 10)
    run = minimize(problem, method, steps=config["steps"], seeds=config["seeds"], every=every)
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
            **chosen,
            "trained": float(trained),
        },
        diverged=diverged(run),
        costs=costs_of(run),
    )
