"""RAC-LoRA's rates: the contraction that is exact on an isotropic quadratic, and the two that are upper bounds."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from scipy import stats

from colarepro.results import Record
from colarepro.theory.bounds import rac_contraction, rac_mean_square_gradient
from colarepro.theory.experiments.job import Job, config_of, job, record_of
from colarepro.theory.experiments.settings import Settings
from colarepro.theory.methods import RacLora
from colarepro.theory.problem import Problem
from colarepro.theory.problems import RegressionSpec, RobustSpec
from colarepro.theory.rates import linear_rate

ISOTROPIC = RegressionSpec(outputs=16, inputs=24, samples=48, rank=16, isotropic=True, test_samples=1)
CONDITIONED = RegressionSpec(outputs=16, inputs=24, samples=96, rank=16, condition=4.0, test_samples=1)
NONCONVEX = RobustSpec(outputs=16, inputs=24, samples=48, rank=4, test_samples=1)
RANKS = (1, 2, 4, 8, 16)
DRAWS = 10  # of the projections, for every seed: the statement is about their mean


def rac_lora(settings: Settings) -> Iterator[Job]:
    """Fresh projections at every step of size 1 / L; ranks 1 to 16 of 24 inputs."""
    seeds = range(settings.seeds * DRAWS)
    for spec, label in ((ISOTROPIC, "isotropic"), (CONDITIONED, "conditioned"), (NONCONVEX, "nonconvex")):
        for rank in RANKS:
            method = RacLora(rank=rank)
            config = config_of("rac-lora", spec, label, method, seeds, steps=48)
            yield job(config, partial(_answer, spec, method, config))


def _answer(spec: Any, method: RacLora, config: dict[str, Any]) -> Record:
    # One problem, many projections: the expectation is over the projections alone.
    problem: Problem = spec.draw([0]).take([0] * len(config["seeds"]))
    state = method.init(problem, config["steps"], config["seeds"])
    excesses, norms = [], []
    for _ in range(config["steps"] + 1):
        excesses.append(problem.excess(method.postprocess(problem, state)).numpy())
        state = method.step(problem, state)
        assert state.last_gradient_norm is not None
        norms.append(state.last_gradient_norm.numpy())
    excess, steps = np.array(excesses), np.arange(config["steps"] + 1)
    rank, n = method.rank, problem.shape[1]
    L = float(problem.smoothness[0])
    if config["label"] == "nonconvex":
        squares = np.array(norms) ** 2
        drawn = squares[:-1].cumsum(0) / np.arange(1, len(steps))[:, None]  # mean over iterates 0 .. T-1
        h0 = float(excess[0, 0])
        bound = np.array([rac_mean_square_gradient(int(T), h0, 1 / L, rank, n) for T in steps[1:]])
        measured = drawn
        steps = steps[1:]
        scores = {"factor_bound": 0.0}
    else:
        measured = excess / excess[0]
        mu = float(problem.strong_convexity[0])  # type: ignore[attr-defined]
        factor = rac_contraction(1 / L, mu, rank, n)
        bound = factor ** steps.astype(float)
        scores = {"factor_bound": factor}
        # The theorem's factor holds from any point. One step is measured from every iterate of every run.
        ratios = (excess[1:] / excess[:-1]).ravel() if rank < n else excess[1:].ravel()
        first = excess[1] / excess[0]
        # 99 %, for five ranks are tested at once.
        half = stats.t.ppf(0.995, len(first) - 1) * stats.sem(first)
        scores |= {
            "factor_mean": float(first.mean()),
            "factor_low": float(first.mean() - half),
            "factor_high": float(first.mean() + half),
            "all_steps_factor": float(ratios.mean()),
        }
        enough = measured.mean(1) > 1e-10
        if enough.sum() >= 6:
            scores |= linear_rate(steps[enough], measured[enough]).scores("log_factor")
    mean = measured.mean(1)
    error = stats.sem(measured, axis=1)
    scores |= {
        "violations": float((~(mean - 3 * error <= bound * (1 + 1e-9))).sum()),
        "tightest_ratio": float((mean[1:] / bound[1:]).max()),
    }
    return record_of(
        config,
        {
            "step": steps,
            "mean": mean[:, None],
            "low": (mean - 1.96 * error)[:, None],
            "high": (mean + 1.96 * error)[:, None],
            "bound": bound[:, None],
        },
        scores,
    )
