"""Excess over the optimum along each method's run, from a low-rank shift."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from colarepro.results import Record, mean_interval
from colarepro.theory.bounds import jaggi_excess, nuclear_ball_diameter
from colarepro.theory.experiments.job import Job, config_of, costs_of, curves_of, diverged, interval, job, record_of
from colarepro.theory.experiments.settings import Settings
from colarepro.theory.method import Method, minimize
from colarepro.theory.methods import (
    AdamW,
    AsymmetricLora,
    BlockFrankWolfe,
    Cola,
    FrankWolfe,
    Full,
    IdealizedCola,
    Lora,
    Pursuit,
    RacLora,
    ReLora,
    Restart,
)
from colarepro.theory.problem import ProblemSpec
from colarepro.theory.problems import FactorizationSpec, RegressionSpec, RobustSpec, SoftmaxSpec, TwoLayerSpec
from colarepro.theory.trace import Status

CURVES = ("excess", "test_loss", "gradient_norm", "gap", "rank", "update_norm", "oracle_share", "oracle_error")
TUNING_SEEDS = (1001, 1002)  # never among the seeds that are reported


@dataclass(frozen=True)
class Arm:
    """A method under the label that tables and figures use; with ``rates``, AdamW at the best of them."""

    label: str
    method: Method[Any]
    rates: tuple[float, ...] = ()

    def config(self) -> dict[str, Any]:
        """What is added to the method's own configuration."""
        return {"learning_rates": list(self.rates), "tuned_on_seeds": list(TUNING_SEEDS)} if self.rates else {}

    def chosen(self, spec: ProblemSpec, steps: int) -> tuple[Method[Any], dict[str, float]]:
        """The method at the rate with the least mean final excess on the tuning seeds, and that rate."""
        if not self.rates:
            return self.method, {}
        rate = self.rates[0] if len(self.rates) == 1 else self._best_rate(spec, steps)
        return with_adamw(self.method, rate), {"learning_rate": rate}

    def _best_rate(self, spec: ProblemSpec, steps: int) -> float:
        problem = spec.draw(TUNING_SEEDS)

        def final(rate: float) -> float:
            run = minimize(problem, with_adamw(self.method, rate), steps=steps, seeds=TUNING_SEEDS, every=steps)
            if any(status is Status.DIVERGED for status in run.status):
                return math.inf
            return mean_interval(list(run.trace.excess[-1]), geometric=True).mean

        return min(self.rates, key=final)


def with_adamw(method: Method[Any], rate: float) -> Method[Any]:
    """The same method with AdamW at this rate."""
    return replace(method, descent=AdamW(rate))  # type: ignore[type-var]


def arms_of(spec: Any, steps: int, rates: tuple[float, ...]) -> list[Arm]:
    """The methods compared on a problem; the two that are compared in depth get all of them."""
    long = steps // 16
    few = [
        Arm("full", Full()),
        Arm("full, AdamW", Full(), rates=rates),
        Arm("LoRA, rank 1", Lora(rank=1)),
        Arm("LoRA, true rank", Lora(rank=spec.rank)),
        Arm("COLA, 8 links", Cola(length=8)),
        Arm("COLA, 8 links, AdamW", Cola(length=8), rates=rates),
        Arm("RAC-LoRA", RacLora()),
    ]
    if not isinstance(spec, RegressionSpec | FactorizationSpec):
        return few
    radius = spec.nuclear_norm
    return [
        *few,
        Arm("asymmetric LoRA", AsymmetricLora(rank=spec.rank)),
        Arm("LoRA, rank 8", Lora(rank=8)),
        Arm("COLA, 8 links, same A", Cola(length=8, initialization="same")),
        Arm("COLA, short links", Cola(length=long)),
        Arm("COLA, short links, same A", Cola(length=long, initialization="same")),
        Arm("restart without merge, AdamW", Restart(length=8), rates=rates),
        Arm("ReLoRA, AdamW", ReLora(length=8), rates=rates),
        Arm("Frank-Wolfe, open loop", FrankWolfe(radius=radius)),
        Arm("Frank-Wolfe, line search", FrankWolfe(radius=radius, rule="exact")),
        Arm("block Frank-Wolfe", BlockFrankWolfe(radius=radius, rank=spec.rank)),
        Arm("idealised COLA", IdealizedCola(radius=radius, rule="exact")),
        Arm("greedy pursuit", Pursuit()),
    ]


SPECS: tuple[Any, ...] = (
    RegressionSpec(outputs=12, inputs=16, samples=64, rank=4, condition=4.0),
    FactorizationSpec(rows=16, columns=12, rank=3, observed=0.8),
    SoftmaxSpec(),
    RobustSpec(),
    TwoLayerSpec(),
)


def convergence(settings: Settings) -> Iterator[Job]:
    """Gradient descent takes 1 / L of the method's own objective, so nothing is tuned; AdamW's rate is tuned for
    each method on seeds of its own. The ball's radius is the shift's nuclear norm: it just holds the optimum of the
    noise-free problems."""
    for spec in SPECS:
        for arm in arms_of(spec, settings.steps, settings.rates):
            steps = settings.steps
            if isinstance(arm.method, IdealizedCola):  # its steps take more than one gradient
                steps //= 1 + arm.method.link_steps
            config = config_of(
                "convergence",
                spec,
                arm.label,
                arm.method,
                range(settings.seeds),
                **arm.config(),
                steps=steps,
                every=max(1, steps // settings.points),
            )
            yield job(config, partial(_answer, spec, arm, config))


def _answer(spec: Any, arm: Arm, config: dict[str, Any]) -> Record:
    method, chosen = arm.chosen(spec, config["steps"])
    problem = spec.draw(config["seeds"])
    radius = getattr(spec, "nuclear_norm", None)
    run = minimize(problem, method, steps=config["steps"], seeds=config["seeds"], every=config["every"], radius=radius)
    curves = curves_of(run, CURVES)
    if isinstance(method, FrankWolfe) and method.rule == "open-loop":
        diameter = nuclear_ball_diameter(method.radius)
        curves["bound"] = np.array(
            [
                [jaggi_excess(max(int(step), 1), float(L), diameter) for L in problem.smoothness]
                for step in curves["step"]
            ]
        )
    return record_of(
        config,
        curves,
        {
            **interval("excess", curves["excess"][-1], geometric=True),
            **interval("test_loss", curves["test_loss"][-1]),
            **interval("rank", curves["rank"][-1]),
            **chosen,
        },
        diverged=diverged(run),
        costs=costs_of(run),
    )
