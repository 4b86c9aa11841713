"""What Theorem 4.1 does not cover: the rank, adding instead of a convex combination, AdamW, leaving the ball."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from colarepro.results import Record
from colarepro.theory.bounds import PROVED, nuclear_ball_diameter
from colarepro.theory.experiments.convergence import Arm
from colarepro.theory.experiments.job import Job, config_of, costs_of, curves_of, diverged, interval, job, record_of
from colarepro.theory.experiments.settings import Settings
from colarepro.theory.method import minimize
from colarepro.theory.methods import Cola, FrankWolfe, IdealizedCola
from colarepro.theory.problems import RegressionSpec
from colarepro.theory.spectral import nuclear_norm

SPEC = RegressionSpec(outputs=12, inputs=16, samples=64, rank=4, condition=4.0)
LINKS = 16
RANKS = (1, 2, 4)


def beyond(settings: Settings) -> Iterator[Job]:
    """Chains of 16 links of ranks 1, 2 and 4 in three kinds: the theorem's convex combination (`IdealizedCola`),
    COLA's addition by gradient descent, and COLA's addition by AdamW; each link has as many inner steps.

    The Frank-Wolfe gap and the link's additive error are measured at every knot, in the ball of twice the
    shift's nuclear norm, and the theorem's right-hand side is evaluated with T = 16 links.
    """
    inner = settings.steps // LINKS
    radius = 2 * SPEC.nuclear_norm
    for rank in RANKS:
        arms = {
            "convex combination, theorem's step": Arm(
                "", IdealizedCola(radius=radius, rule="fixed", rank=rank, link_steps=inner)
            ),
            "addition, gradient descent": Arm("", Cola(length=LINKS, rank=rank)),
            "addition, AdamW": Arm("", Cola(length=LINKS, rank=rank), rates=settings.rates),
        }
        for label, arm in arms.items():
            config = config_of(
                "beyond",
                SPEC,
                label,
                arm.method,
                range(settings.seeds),
                **arm.config(),
                rank=rank,
                links=LINKS,
                link_steps=inner,
                radius=radius,
            )
            yield job(config, partial(_answer, arm, config))


def _answer(arm: Arm, config: dict[str, Any]) -> Record:
    inner, radius = config["link_steps"], config["radius"]
    method, chosen = arm.chosen(SPEC, inner * LINKS)
    problem = SPEC.draw(config["seeds"])
    combined = isinstance(method, FrankWolfe)
    steps, every = (LINKS, 1) if combined else (inner * LINKS, inner)
    run = minimize(problem, method, steps=steps, seeds=config["seeds"], every=every, radius=radius)
    # A link's error is measured once it has ended, its gap where it began.
    gap, error = np.array(run.trace.gap)[:-1], np.array(run.trace.oracle_error)[1:]
    excess, beta = problem.excess(problem.start).numpy(), problem.smoothness.numpy()
    rate = PROVED * np.sqrt(excess * beta) * nuclear_ball_diameter(radius) / np.sqrt(LINKS)
    size = nuclear_norm(run.weight - problem.start).numpy()
    curves = curves_of(run, ("excess", "gap", "oracle_share", "rank"))
    curves["step"] = np.arange(LINKS + 1)
    return record_of(
        config,
        curves,
        {
            **interval("excess", curves["excess"][-1], geometric=True),
            **interval("average_gap", gap.mean(0)),
            **interval("error", error.mean(0)),
            **interval("ratio", gap.mean(0) / (rate + error.mean(0))),
            **interval("ratio_without_error", gap.mean(0) / rate),
            **interval("share", np.nanmean(np.array(run.trace.oracle_share)[1:], axis=0)),
            "outside": float((size > radius).sum()),
            "violations": float((~(gap.mean(0) <= rate + error.mean(0))).sum()),
            **chosen,
        },
        diverged=diverged(run),
        costs=costs_of(run),
    )
