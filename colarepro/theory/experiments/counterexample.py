"""RAC-LoRA's 3 x 3 quadratic: who diverges, who stalls, who converges, at steps 1/L, 0.1/L and 0.01/L."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from colarepro.results import Record
from colarepro.theory.experiments.job import Job, config_of, costs_of, curves_of, diverged, interval, job, record_of
from colarepro.theory.experiments.settings import Settings
from colarepro.theory.method import Method, minimize
from colarepro.theory.methods import AsymmetricLora, Cola, Full, GradientDescent, Lora, RacLora
from colarepro.theory.problems import CounterexampleSpec
from colarepro.theory.trace import Status

SPEC = CounterexampleSpec()
BUDGET = {1.0: 1, 0.1: 2, 0.01: 6}  # shares of the settings' steps: a smaller step needs more of them
LINK = 10  # steps of a link
STALLED = 0.98  # of the excess at half time is left at the end
SOLVED = 0.02  # a hundredth of what the start is above the optimum; the best update of rank 1 is at 0.2889


def counterexample(settings: Settings) -> Iterator[Job]:
    """Rank 1, Gaussian A, constant step factor / L with the problem's L = 20, as the literature takes it."""
    for factor, share in BUDGET.items():
        steps = share * settings.steps
        descent = GradientDescent(factor, "problem")
        options: dict[str, Any] = {"draw": "gaussian", "descent": descent}
        arms: dict[str, Method[Any]] = {
            "full": Full(descent),
            "LoRA": Lora(**options),
            "asymmetric LoRA": AsymmetricLora(**options),
            "COLA, fresh A": Cola(length=steps // LINK, **options),
            "COLA, same A": Cola(length=steps // LINK, initialization="same", **options),
            "COLA, fresh A, local step": Cola(
                length=steps // LINK, draw="gaussian", descent=GradientDescent(factor, "local")
            ),
            "RAC-LoRA, no projection": RacLora(length=steps // LINK, **options),
            "RAC-LoRA": RacLora(length=steps // LINK, descent=descent),
        }
        for label, method in arms.items():
            config = config_of(
                "counterexample",
                SPEC,
                label,
                method,
                range(settings.seeds),
                factor=factor,
                steps=steps,
                solved=SOLVED,
                stalled=STALLED,
            )
            yield job(config, partial(_answer, method, config))


def _answer(method: Method[Any], config: dict[str, Any]) -> Record:
    problem = SPEC.draw(config["seeds"])
    every = config["steps"] // 20
    run = minimize(problem, method, steps=config["steps"], seeds=config["seeds"], every=every)
    excess = np.array(run.trace.excess)
    lost = np.array([status is Status.DIVERGED for status in run.status])
    solved = ~lost & (excess[-1] < SOLVED)
    stalled = ~lost & ~solved & (excess[-1] > STALLED * excess[len(excess) // 2])
    scores = {
        "diverged": float(lost.sum()),
        "converged": float(solved.sum()),
        "stalled": float(stalled.sum()),
        "still falling": float((~lost & ~solved & ~stalled).sum()),
    }
    if not lost.all():
        scores |= interval("excess", excess[-1][~lost], geometric=True)
    return record_of(
        config, curves_of(run, ("excess", "gradient_norm")), scores, diverged=diverged(run), costs=costs_of(run)
    )
