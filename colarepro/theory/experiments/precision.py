"""Finite precision: the same chain of a hundred links over weights kept in narrow types."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import torch

from colarepro.results import Record
from colarepro.theory.experiments.job import Job, config_of, interval, job, record_of
from colarepro.theory.experiments.settings import Settings
from colarepro.theory.methods import Cola
from colarepro.theory.problems import RegressionSpec

LINKS = 100
SIZES = (1.0, 0.1)
"""Largest singular value of the shift: a start of about 1 in every direction moves by much, or by a tenth of it."""
ARMS = (
    ("float64", True),
    ("float32", False),
    ("float16", False),
    ("bfloat16", False),
    ("float16", True),
    ("bfloat16", True),
)


def precision(settings: Settings) -> Iterator[Job]:
    """With a master copy a knot rounds the sum once; without, it adds a rounded link in the weight's own type.

    What is kept is the projection of the merged weight's movement on the sum of all links."""
    steps = max(2 * LINKS, 2 * settings.steps)
    for size in SIZES:
        spec = RegressionSpec(outputs=12, inputs=16, samples=64, rank=4, size=size)
        for weights, master in ARMS:
            method = Cola(length=LINKS, rank=4, weights=weights, master=master)
            label = f"{weights}, {'sum rounded once' if master else 'added in place'}"
            config = config_of(
                "precision", spec, label, method, range(settings.seeds), steps=steps, every=steps // LINKS, size=size
            )
            yield job(config, partial(_answer, spec, method, config))


def _answer(spec: RegressionSpec, method: Cola, config: dict[str, Any]) -> Record:
    problem = spec.draw(config["seeds"])
    state = method.init(problem, config["steps"], config["seeds"])
    first, steps, excess = state.base, [0], [problem.excess(state.base).numpy()]
    for step in range(1, config["steps"] + 1):
        state = method.step(problem, state)
        if step % config["every"] == 0:
            steps.append(step)
            excess.append(problem.excess(state.base).numpy())  # of the merged weight, without the running link
    moved, meant = state.base - first, state.total
    kept = (moved * meant).sum((1, 2)) / torch.linalg.matrix_norm(meant) ** 2
    return record_of(
        config,
        {"step": np.array(steps), "excess": np.array(excess)},
        {**interval("excess", excess[-1], geometric=True), **interval("kept", kept.numpy())},
        costs={"gradients": float(state.gradients), "flops": state.flops},
    )
