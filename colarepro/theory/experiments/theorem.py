"""COLA's Theorem 4.1 at every T, on convex and nonconvex losses, with exact, approximate and LoRA oracles."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import torch

from colarepro.results import Record
from colarepro.theory.bounds import BEST, PRINTED, PROVED, nuclear_ball_diameter
from colarepro.theory.experiments.job import Job, config_of, geometric_grid, job, record_of
from colarepro.theory.experiments.settings import Settings
from colarepro.theory.methods import FrankWolfe, IdealizedCola
from colarepro.theory.problem import Problem
from colarepro.theory.problems import RegressionSpec, RobustSpec
from colarepro.theory.spectral import spectral_norm

SMALL = RegressionSpec(outputs=3, inputs=4, samples=12, rank=2, isotropic=True, test_samples=1)
ROBUST = RobustSpec(outputs=3, inputs=4, samples=12, rank=2, test_samples=1)
PLACES = ((SMALL, 2.0), (SMALL, 0.1), (ROBUST, 1.0))  # the radius as a share of the shift's nuclear norm
BLOCK = 75  # runs of neighbouring T go together; each block stops at its longest


def theorem(settings: Settings) -> Iterator[Job]:
    """One run for each T from 1 to the horizon, with the theorem's step for that T; one problem draw a seed is
    enough for an inequality that must hold at every iterate, so seeds are few here and iterates many."""
    for spec, share in PLACES:
        radius = share * spec.nuclear_norm
        oracles: dict[str, FrankWolfe] = {
            "exact": FrankWolfe(radius=radius, rule="fixed"),
            "exact, best step": FrankWolfe(radius=radius, rule="fixed-best"),
            "minibatch": FrankWolfe(radius=radius, rule="fixed", batch=3),
            "LoRA link": IdealizedCola(radius=radius, rule="fixed", link_steps=3),
        }
        for label, method in oracles.items():
            config = config_of("theorem", spec, label, method, [0], radius_share=share, horizon=settings.horizon)
            yield job(config, partial(_answer, spec, method, config))


def _answer(spec: Any, method: FrankWolfe, config: dict[str, Any]) -> Record:
    problem: Problem = spec.draw(config["seeds"])
    horizons = np.arange(1, config["horizon"] + 1)
    blocks = [average_gaps(problem, method, block) for block in np.split(horizons, range(BLOCK, len(horizons), BLOCK))]
    average, error = (np.concatenate(part) for part in zip(*blocks, strict=True))
    excess = float(method.init(problem, 1, [0]).start_excess[0])
    beta, diameter = float(problem.smoothness[0]), nuclear_ball_diameter(method.radius)
    rate = np.sqrt(excess * beta) * diameter / np.sqrt(horizons)
    valid = horizons >= (2 if method.rule == "fixed-best" else 1) * excess / (beta * diameter**2)
    constant = BEST if method.rule == "fixed-best" else PROVED
    ratio = average / (constant * rate + error)
    needed = (average - error) / rate  # the constant that this run would have needed
    shown = np.array(geometric_grid(int(horizons[-1]))) - 1
    return record_of(
        config,
        {
            "step": horizons[shown],
            "average_gap": average[shown, None],
            "error": error[shown, None],
            "bound_printed": (PRINTED * rate + error)[shown, None],
            "bound_proved": (constant * rate + error)[shown, None],
        },
        {
            "iterates": float(horizons[valid].sum()),
            "violations": float((~(ratio[valid] <= 1 + 1e-9)).sum()),
            "tightest_ratio": ratio[valid].max(),
            "last_ratio": ratio[-1],
            "needed_constant": needed[valid].max(),
            "constant": constant,
            "error_share": float(error.mean() / (average.mean() + 1e-300)),
            "first_valid": float(horizons[valid][0]),
        },
    )


def average_gaps(problem: Problem, method: FrankWolfe, horizons: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each T: the mean Frank-Wolfe gap of the iterates that T steps start from, and the mean additive error of
    the oracle there, both against the full gradient and a dense SVD. The problem has one seed."""
    count = len(horizons)
    many = problem.take([0] * count)
    steps = torch.as_tensor(horizons, dtype=torch.float64)
    state = method.init(many, int(horizons[-1]), [int(T) for T in horizons])
    state.steps = steps
    gaps, errors = torch.zeros(count, dtype=torch.float64), torch.zeros(count, dtype=torch.float64)
    for index in range(int(horizons[-1])):
        update = state.update
        gradient = many.gradient(many.start + update)
        state = method.step(many, state)
        assert state.vertex is not None
        largest = method.radius * spectral_norm(gradient)
        running = steps > index
        gaps += torch.where(running, (gradient * update).sum((1, 2)) + largest, 0)
        errors += torch.where(running, (gradient * state.vertex).sum((1, 2)) + largest, 0)
    return (gaps / steps).numpy(), (errors / steps).numpy()
