"""The testbed's experiments: what is run, on which seeds, and the record that each run leaves."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from rich.progress import track

from colarepro.errors import ColaError
from colarepro.results import Record, Store, environment, mean_interval
from colarepro.theory.bounds import BEST, PRINTED, PROVED, cola_average_gap, jaggi_excess, nuclear_ball_diameter
from colarepro.theory.method import Method, Solution, minimize
from colarepro.theory.methods import AdamW, Cola, Descent, FrankWolfe, Full, Lora
from colarepro.theory.problem import Problem
from colarepro.theory.problems import FactorizationSpec, RegressionSpec
from colarepro.theory.trace import Status

Spec = RegressionSpec | FactorizationSpec
RATES = (0.003, 0.01, 0.03, 0.1)
TUNING_SEEDS = (1001, 1002)  # never among the seeds that are reported
CURVES = ("excess", "test_loss", "gradient_norm", "gap", "rank", "update_norm")


@dataclass(frozen=True)
class Settings:
    """How much is run. Every method of an experiment gets the same number of full gradients."""

    seeds: int = 5
    """Seeds of the convergence and bound experiments."""
    steps: int = 600
    """Gradient evaluations of a convergence run."""
    generalization_seeds: int = 12
    generalization_steps: int = 400
    longest_chain: int = 8
    """Chain lengths 1 to this are compared, and LoRA of ranks 1 to this."""
    horizon: int = 500
    """Longest Frank-Wolfe run of the bound experiment."""

    def check(self) -> None:
        """Raise `ColaError` for a size that no experiment can have."""
        least = min(self.seeds, self.generalization_seeds, self.longest_chain, self.horizon)
        if least < 1 or self.steps < 40 or self.generalization_steps < 2 * self.longest_chain:
            raise ColaError(
                "Expected at least 1 seed, chain length and horizon, 40 convergence steps, and 2 steps a link."
            )
        if self.longest_chain > min(GENERALIZATION.outputs, GENERALIZATION.inputs):
            raise ColaError(
                f"The longest chain is {self.longest_chain}; expected at most "
                f"{min(GENERALIZATION.outputs, GENERALIZATION.inputs)}, the rank of the regression's weight."
            )


CONVERGENCE: tuple[Spec, ...] = (
    RegressionSpec(outputs=12, inputs=16, samples=64, rank=4, condition=4.0),
    FactorizationSpec(rows=16, columns=12, rank=3, observed=0.8),
)
GENERALIZATION = RegressionSpec(outputs=12, inputs=20, samples=28, rank=4, size=4.0, noise=1.0)
QUICK = Settings(seeds=2, steps=160, generalization_seeds=4, generalization_steps=120, longest_chain=6, horizon=100)


@dataclass(frozen=True)
class Job:
    """A question (``config``, which names the record) and how to answer it."""

    config: dict[str, Any]
    answer: Callable[[], Record]


@dataclass(frozen=True)
class Arm:
    """A method under the label that tables and figures use; with ``rates``, its learning rate is tuned."""

    label: str
    method: Method[Any]
    rates: tuple[float, ...] = ()

    def config(self) -> dict[str, Any]:
        method = self.method.config()
        if self.rates:
            method["optimizer"] = AdamW.kind
            method["descent"] = {"learning_rates": list(self.rates), "tuned_on_seeds": list(TUNING_SEEDS)}
        return {"label": self.label, "method": method}

    def tuned(self, spec: Spec, steps: int) -> tuple[Method[Any], dict[str, float]]:
        """The method at the rate with the least mean final excess on the tuning seeds, and that rate."""
        if not self.rates:
            return self.method, {}
        problems = [(seed, spec.draw(seed)) for seed in TUNING_SEEDS]

        def final(rate: float) -> float:
            method = _with_descent(self.method, AdamW(rate))
            runs = [minimize(problem, method, steps=steps, seed=seed, every=steps) for seed, problem in problems]
            excess = mean_interval([_final_excess(run) for run in runs], geometric=True).mean
            return excess if math.isfinite(excess) else math.inf

        rate = min(self.rates, key=final)
        return _with_descent(self.method, AdamW(rate)), {"learning_rate": rate}


def run_all(settings: Settings, store: Store) -> list[Record]:
    """Answer every question that ``store`` does not answer yet, with a progress bar; return all answers in order.

    Raises `ColaError` for settings that cannot be run, before any work.
    """
    settings.check()
    jobs = [*convergence(settings), *generalization(settings), *bound(settings)]
    records = []
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the matrices are tiny; threads only wait for each other
    try:
        for job in track(jobs, description="theory"):
            record = store.get("theory", job.config)
            if record is None:
                began = time.perf_counter()
                record = job.answer()
                record.costs["seconds"] = time.perf_counter() - began
                store.put(record)
            records.append(record)
    finally:
        torch.set_num_threads(threads)
    return records


def convergence(settings: Settings) -> Iterator[Job]:
    """Excess over the optimum along each method's run, from a noise-free low-rank shift.

    Gradient descent takes 1 / L of the method's own objective, so nothing is tuned; AdamW's rate is tuned for
    each method on seeds of its own. The ball's radius is the shift's nuclear norm: it just holds the optimum.
    """
    for spec in CONVERGENCE:
        long = settings.steps // 20
        arms = (
            Arm("full", Full()),
            Arm("full, AdamW", Full(), RATES),
            Arm("LoRA, rank 1", Lora(rank=1)),
            Arm(f"LoRA, rank {spec.rank}", Lora(rank=spec.rank)),
            Arm("COLA, 8 links, fresh A", Cola(length=8)),
            Arm("COLA, 8 links, same A", Cola(length=8, initialization="same")),
            Arm(f"COLA, {long} links, fresh A", Cola(length=long)),
            Arm(f"COLA, {long} links, same A", Cola(length=long, initialization="same")),
            Arm("COLA, 8 links, AdamW", Cola(length=8), RATES),
            Arm("Frank-Wolfe, open loop", FrankWolfe(radius=spec.nuclear_norm)),
            Arm("Frank-Wolfe, line search", FrankWolfe(radius=spec.nuclear_norm, rule="exact")),
        )
        for arm in arms:
            config = {
                "experiment": "convergence",
                "problem": spec.config(),
                **arm.config(),
                "radius": spec.nuclear_norm,
                "steps": settings.steps,
                "every": max(1, settings.steps // 80),
                "seeds": list(range(settings.seeds)),
            }
            yield Job(config, _convergence_answer(spec, arm, config))


def _convergence_answer(spec: Spec, arm: Arm, config: dict[str, Any]) -> Callable[[], Record]:
    def answer() -> Record:
        steps, every, radius = config["steps"], config["every"], config["radius"]
        method, chosen = arm.tuned(spec, steps)
        problems = [spec.draw(seed) for seed in config["seeds"]]
        runs = [
            minimize(problem, method, steps=steps, seed=seed, every=every, radius=radius)
            for seed, problem in zip(config["seeds"], problems, strict=True)
        ]
        record = _record(config, runs, [*range(0, steps, every), steps], CURVES)
        record.scores.update(chosen)
        if isinstance(method, FrankWolfe) and method.rule == "open-loop":
            diameter = nuclear_ball_diameter(radius)
            record.curves["bound"] = [
                _rounded([jaggi_excess(max(step, 1), p.smoothness, diameter) for step in record.curves["step"]])
                for p in problems
            ]
        return record

    return answer


def generalization(settings: Settings) -> Iterator[Job]:
    """Train loss, test loss and their difference against chain length, on noisy data with N close to n.

    Rank-1 links; every chain takes the same steps in total. The references: one LoRA of the summed rank, full
    fine-tuning, the best update of each rank in closed form, and least squares.
    """
    spec = GENERALIZATION
    lengths = range(1, settings.longest_chain + 1)
    arms: list[tuple[int, Arm | None, str]] = [
        *((length, Arm("COLA, rank-1 links", Cola(length=length)), "") for length in lengths),
        *((rank, Arm("LoRA, summed rank", Lora(rank=rank)), "") for rank in lengths),
        (0, Arm("full", Full()), ""),
        *((rank, None, "best of this rank") for rank in lengths),
        (0, None, "least squares"),
    ]
    for length, arm, label in arms:
        config = {
            "experiment": "generalization",
            "problem": spec.config(),
            **(arm.config() if arm else {"label": label, "method": {"name": "closed-form"}}),
            "length": length,  # links, or the rank of a reference; 0 where neither is limited
            "steps": settings.generalization_steps,
            "seeds": list(range(settings.generalization_seeds)),
        }
        yield Job(config, _generalization_answer(spec, arm, config))


def _generalization_answer(spec: Spec, arm: Arm | None, config: dict[str, Any]) -> Callable[[], Record]:
    def answer() -> Record:
        train, test = [], []
        failures = 0
        for seed in config["seeds"]:
            problem = spec.draw(seed)
            if arm is None:
                reference = problem.best_at_rank(config["length"] or min(problem.shape))
                assert reference is not None
                weight = reference.weight
            else:
                run = minimize(problem, arm.method, steps=config["steps"], seed=seed, every=config["steps"])
                weight, failures = run.weight, failures + (run.status is Status.DIVERGED)
            train.append(problem.loss(weight))
            test.append(problem.test_loss(weight))
        gaps = [b - a for a, b in zip(train, test, strict=True)]
        values = {"train_loss": train, "test_loss": test, "generalization_gap": gaps}
        scores = {key: score for name, v in values.items() for key, score in mean_interval(v).scores(name).items()}
        # One number a seed: these curves have a single step, the last.
        curves = {name: [_rounded([x]) for x in v] for name, v in values.items()}
        return Record(
            kind="theory",
            config=config,
            status="diverged" if failures else "done",
            reason=_reason(failures, len(train)),
            scores=scores,
            curves={"step": [config["steps"]], **curves},
            environment=_environment(),
        )

    return answer


def bound(settings: Settings) -> Iterator[Job]:
    """Theorem 4.1 on Frank-Wolfe with the theorem's own step, one run for each T, in balls that hold the
    optimum well inside, just, and not at all."""
    horizons = _geometric(settings.horizon)
    for spec in CONVERGENCE:
        for share in (2.0, 1.0, 0.5):
            for rule in ("fixed", "fixed-best"):
                arm = Arm("Theorem 4.1", FrankWolfe(radius=share * spec.nuclear_norm, rule=rule))
                config = {
                    "experiment": "bound",
                    "problem": spec.config(),
                    **arm.config(),
                    "radius_share": share,  # of the shift's nuclear norm
                    "horizons": horizons,
                    "seeds": list(range(settings.seeds)),
                }
                yield Job(config, _bound_answer(spec, arm.method, config))


def _bound_answer(spec: Spec, method: Method[Any], config: dict[str, Any]) -> Callable[[], Record]:
    assert isinstance(method, FrankWolfe)
    constant = PROVED if method.rule == "fixed" else BEST

    def answer() -> Record:
        averages, printed, proved = [], [], []
        for seed in config["seeds"]:
            problem = spec.draw(seed)
            excess, beta = method.init(problem, 1, seed).start_excess, problem.smoothness
            diameter = nuclear_ball_diameter(method.radius)
            averages.append([average_gap(problem, method, steps) for steps in config["horizons"]])
            printed.append([cola_average_gap(t, excess, beta, diameter, 0.0, PRINTED) for t in config["horizons"]])
            proved.append([cola_average_gap(t, excess, beta, diameter, 0.0, constant) for t in config["horizons"]])
        ratios = [a / b for row, bounds in zip(averages, proved, strict=True) for a, b in zip(row, bounds, strict=True)]
        last = [row[-1] / bounds[-1] for row, bounds in zip(averages, proved, strict=True)]
        return Record(
            kind="theory",
            config=config,
            scores={
                "tightest_ratio": max(ratios),
                "violations": float(sum(ratio > 1 + 1e-9 for ratio in ratios)),
                "constant": constant,
                **mean_interval(last).scores("last_ratio"),
            },
            curves={
                "step": config["horizons"],
                "average_gap": [_rounded(row) for row in averages],
                "bound_printed": [_rounded(row) for row in printed],
                "bound_proved": [_rounded(row) for row in proved],
            },
            environment=_environment(),
        )

    return answer


def average_gap(problem: Problem, method: FrankWolfe, steps: int) -> float:
    """Mean Frank-Wolfe gap over the iterates that ``steps`` steps start from, as Theorem 4.1 averages it."""
    state, total = method.init(problem, steps, 0), 0.0
    for _ in range(steps):
        state = method.step(problem, state)
        total += state.gap
    return total / steps


def _record(config: dict[str, Any], runs: Sequence[Solution], grid: list[int], names: Sequence[str]) -> Record:
    """One record of several seeds' runs; a run that ended early is NaN from there on."""
    curves: dict[str, list[Any]] = {"step": grid}
    for name in names:
        curves[name] = []
        for run in runs:
            found = dict(zip(run.trace.step, getattr(run.trace, name), strict=True))
            curves[name].append(_rounded([found.get(step, math.nan) for step in grid]))
    failures = sum(run.status is Status.DIVERGED for run in runs)
    return Record(
        kind="theory",
        config=config,
        status="diverged" if failures else "done",
        reason=_reason(failures, len(runs)),
        scores={
            **mean_interval([_final_excess(run) for run in runs], geometric=True).scores("excess"),
            **mean_interval([run.trace.test_loss[-1] for run in runs], geometric=True).scores("test_loss"),
            **mean_interval([float(run.trace.rank[-1]) for run in runs]).scores("rank"),
        },
        curves=curves,
        costs={
            "gradients": float(sum(run.trace.gradients[-1] for run in runs)),
            "lmo_calls": float(sum(run.trace.lmo_calls[-1] for run in runs)),
            "seconds_stepping": sum(run.trace.seconds[-1] for run in runs),
        },
        environment=_environment(),
    )


def _final_excess(run: Solution) -> float:
    return math.inf if run.status is Status.DIVERGED else run.trace.excess[-1]


def _reason(failures: int, count: int) -> str:
    return f"{failures} of {count} seeds diverged." if failures else ""


def _with_descent(method: Method[Any], descent: Descent) -> Method[Any]:
    assert isinstance(method, Full | Lora | Cola)
    return replace(method, descent=descent)


def _environment() -> dict[str, str]:
    return {key: str(value) for key, value in environment("cpu").items()}


def _geometric(last: int, points: int = 13) -> list[int]:
    return sorted({round(last ** (index / (points - 1))) for index in range(points)})


def _rounded(values: Sequence[float]) -> list[float]:
    """Eight digits: more than a plot or a test reads, at half the record's size."""
    return [float(f"{value:.8g}") for value in values]
