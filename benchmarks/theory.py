"""How fast the theory's methods are, against what else there is, in one run. See README.md beside this file."""

import contextlib
import importlib.util
import io
import json
import math
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from itertools import pairwise
from typing import Any

import tyro
from rich import box
from rich.console import Console
from rich.table import Table

from colarepro.errors import ColaError, exit_cleanly

# NumPy, torch and copt are imported by the process that measures: its peak memory starts at its parent's.

RANK = 5
NOISE = 0.1
OBSERVED = 0.1
RULES = ("open-loop", "adaptive", "exact")
# copt's name for each of our rules that it has.
COPT_STEPS = {"open-loop": "sublinear", "adaptive": "backtracking"}
DENSE_SVD_ITERATIONS = 10


@dataclass(frozen=True)
class Compare:
    """Measure every method, each run in a process of its own, and print the tables.

    Gaps are shares of the loss at zero. A run that has not reached its gap after ``limit`` seconds is cut, and
    only its time per iteration counts. The dense SVD loop runs for a few iterations at sizes up to ``dense_to``.
    """

    sections: tuple[str, ...] = ("completion", "regression", "chain")
    completion: tuple[tuple[int, float], ...] = ((200, 0.01), (1000, 0.01), (3000, 0.03))
    regression: tuple[int, ...] = (200, 1000, 2000)
    iterations: int = 15
    seeds: tuple[int, ...] = (1, 5, 20, 100)
    dense_to: int = 1000
    repeats: int = 3
    threads: int = 1
    limit: float = 90.0
    without_copt: bool = False

    def __call__(self) -> None:
        unknown = set(self.sections) - set(SECTIONS)
        if unknown:
            raise ColaError(f"Unknown section {sorted(unknown)[0]!r}; expected one of {', '.join(SECTIONS)}.")
        if not self.without_copt and importlib.util.find_spec("copt") is None:
            raise ColaError("The comparison needs copt: pip install copt==0.9.2, or pass --without-copt.")
        console = Console(width=160)
        for name in self.sections:
            for table in SECTIONS[name](self):
                console.print(table)
        console.print(_machine(self))


@dataclass(frozen=True)
class Measure:
    """One run of one completion, as a line of JSON; `Compare` starts these."""

    method: str
    rule: str
    size: int
    gap: float
    limit: float

    def __call__(self) -> None:
        problem = CompletionProblem(self.size)
        goal = self.gap * problem.loss_at_zero
        solve = METHODS[self.method]
        solve(CompletionProblem(40), self.rule, 0.5 * problem.loss_at_zero, 5.0)  # imports and first calls
        before, wall, cpu = _resident(), time.perf_counter(), time.process_time()
        found = solve(problem, self.rule, goal, self.limit)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        found |= {"reached": found["gap"] <= goal, "seconds": wall, "cpu": cpu, "memory": peak - before}
        print(json.dumps(found))


@dataclass(frozen=True)
class Iterate:
    """Iterations of Frank-Wolfe on a dense regression, each timed beside a bare gradient, as a line of JSON."""

    size: int
    rule: str
    iterations: int

    def __call__(self) -> None:
        from colarepro.theory.methods import FrankWolfe
        from colarepro.theory.problems import RegressionSpec

        spec = RegressionSpec(
            outputs=self.size, inputs=self.size, samples=2 * self.size, rank=RANK, noise=NOISE, test_samples=1
        )
        problem = spec.draw([0])
        method = FrankWolfe(radius=spec.nuclear_norm, rule=self.rule, tolerance=1e-2)
        state = method.init(problem, 1_000, [0])
        gradients, steps, products = [], [], []
        for index in range(3 + self.iterations):
            begin = time.perf_counter()
            problem.gradient(problem.start + state.update)
            middle = time.perf_counter()
            state = method.step(problem, state)
            end = time.perf_counter()
            if index >= 3:
                gradients.append(middle - begin)
                steps.append(end - middle)
                assert state.atom is not None
                products.append(state.atom.products)
        dense = None
        if self.size <= 1000:
            slow = FrankWolfe(radius=spec.nuclear_norm, rule=self.rule)
            slow_state = slow.step(problem, slow.init(problem, 10, [0]))
            begin = time.perf_counter()
            slow.step(problem, slow_state)
            dense = time.perf_counter() - begin
        ratio = statistics.median(step / gradient for step, gradient in zip(steps, gradients, strict=True))
        found = {"gradient": statistics.median(gradients), "lanczos": statistics.median(steps), "ratio": ratio}
        print(json.dumps(found | {"products": statistics.mean(products), "dense": dense}))


@dataclass(frozen=True)
class Seeds:
    """One chain on many seeds, at once and one after the other, as a line of JSON."""

    seeds: int
    repeats: int

    def __call__(self) -> None:
        from colarepro.theory.method import minimize
        from colarepro.theory.methods import Cola
        from colarepro.theory.methods.chained_cola import ChainedCola
        from colarepro.theory.problems import RegressionSpec

        spec = RegressionSpec(outputs=12, inputs=16, samples=64, rank=4)
        batched, looped = Cola(length=5, rank=2), ChainedCola(length=5, rank=2)
        times: dict[str, list[float]] = {"batched": [], "looped": []}
        for repeat in range(1 + self.repeats):  # the first one warms up
            begin = time.perf_counter()
            at_once = minimize(spec.draw(range(self.seeds)), batched, steps=100, every=100).weight
            middle = time.perf_counter()
            one_by_one = [
                minimize(spec.draw([seed]), looped, steps=100, seeds=[seed], every=100).weight[0]
                for seed in range(self.seeds)
            ]
            end = time.perf_counter()
            if repeat:
                times["batched"].append(middle - begin)
                times["looped"].append(end - middle)
        difference = max(float((a - b).abs().max()) for a, b in zip(at_once, one_by_one, strict=True))
        medians = {name: statistics.median(values) for name, values in times.items()}
        print(json.dumps(medians | {"difference": difference}))


class CompletionProblem:
    """A matrix (size, size) of rank `RANK` plus noise, of which the same number is seen in every row."""

    def __init__(self, size: int, seed: int = 0) -> None:
        import numpy as np

        rng = np.random.default_rng(seed)
        left, right = (rng.standard_normal((size, RANK)) / RANK**0.25 for _ in range(2))
        seen = round(OBSERVED * size)
        self.shape = (size, size)
        self.rows = np.repeat(np.arange(size), seen)
        self.columns = np.concatenate([np.sort(rng.choice(size, seen, replace=False)) for _ in range(size)])
        self.values = np.einsum("ij,ij->i", left[self.rows], right[self.columns])
        self.values += NOISE * rng.standard_normal(len(self.values))
        # The nuclear norm of left right^T, from the triangles of both.
        self.radius = float(np.linalg.norm(np.linalg.qr(left)[1] @ np.linalg.qr(right)[1].T, "nuc"))
        self.loss_at_zero = float(self.values @ self.values) / (2 * len(self.values))


def solve_with_ours(problem: CompletionProblem, rule: str, goal: float, limit: float) -> dict[str, Any]:
    from colarepro.theory.completion import complete

    found = complete(
        problem.rows,
        problem.columns,
        problem.values,
        problem.shape,
        problem.radius,
        rule=rule,
        steps=1_000_000,
        gap_tolerance=goal,
        seconds=limit,
    )
    return {
        "iterations": found.gradients,
        "gap": found.gaps[-1],
        "loss": found.losses[-1],
        "calls": found.lmo_calls,
        "products": sum(found.products) / found.lmo_calls,
    }


def solve_with_copt(problem: CompletionProblem, rule: str, goal: float, limit: float) -> dict[str, Any]:
    """As copt's users write it: a flat dense weight, a flat dense gradient, and the oracle of its `TraceBall`."""
    import copt
    import numpy as np
    from copt.constraint import TraceBall

    size, count = problem.shape[0], len(problem.values)
    seen = problem.rows * size + problem.columns

    def loss_and_gradient(weight: Any) -> tuple[float, Any]:
        residual = weight[seen] - problem.values
        gradient = np.zeros_like(weight)
        gradient[seen] = residual / count
        return float(residual @ residual) / (2 * count), gradient

    begin = time.perf_counter()
    last: dict[str, Any] = {}

    def in_time(local: dict[str, Any]) -> bool:
        last.update(loss=local["f_t"], gradient=local["grad"])
        return time.perf_counter() - begin < limit

    with contextlib.redirect_stdout(io.StringIO()):  # It prints its first guess of L.
        found = copt.minimize_frank_wolfe(
            loss_and_gradient,
            np.zeros(size * size),
            TraceBall(problem.radius, problem.shape).lmo,
            jac=True,
            step=COPT_STEPS[rule],
            max_iter=1_000_000,
            tol=goal,
            callback=in_time,
        )
    return {
        "iterations": found.nit + 1,
        "gap": float(found.certificate),
        "loss": last["loss"],
        "calls": found.nit + 1,
        "products": _products_of_svds(last["gradient"].reshape(problem.shape)),
    }


def solve_with_dense_svd(problem: CompletionProblem, rule: str, goal: float, limit: float) -> dict[str, Any]:
    """Open-loop Frank-Wolfe with the weight and every gradient dense and a full SVD, for a few iterations."""
    import numpy as np

    del rule
    weight, begin = np.zeros(problem.shape), time.perf_counter()
    for step in range(DENSE_SVD_ITERATIONS):
        residual = weight[problem.rows, problem.columns] - problem.values
        gradient = np.zeros(problem.shape)
        gradient[problem.rows, problem.columns] = residual / len(residual)
        left, values, right = np.linalg.svd(gradient, full_matrices=False)
        gap = float((gradient * weight).sum() + problem.radius * values[0])
        loss = float(residual @ residual) / (2 * len(residual))
        if gap <= goal or time.perf_counter() - begin > limit:
            break
        atom = -problem.radius * np.outer(left[:, 0], right[0])
        weight += 2 / (step + 2) * (atom - weight)
    return {"iterations": step + 1, "gap": gap, "loss": loss, "calls": step + 1, "products": None}


def _products_of_svds(matrix: Any) -> int:
    """How many products copt's oracle takes on this matrix; counted after the timing, on the last gradient."""
    from scipy.sparse.linalg import LinearOperator, svds

    count = 0

    def counted(product: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def call(vector: Any) -> Any:
            nonlocal count
            count += 1
            return product(vector)

        return call

    svds(LinearOperator(matrix.shape, counted(matrix.dot), counted(matrix.T.dot), dtype=matrix.dtype), k=1)
    return count


METHODS: dict[str, Callable[[CompletionProblem, str, float, float], dict[str, Any]]] = {
    "ours": solve_with_ours,
    "copt": solve_with_copt,
    "dense SVD": solve_with_dense_svd,
}


def completion(settings: Compare) -> list[Table]:
    """Matrix completion to a certified gap: ours, copt and a dense SVD loop, same problem, same step rule."""
    table = Table(
        title=f"Completion, {OBSERVED:.0%} observed, rank {RANK} plus noise: medians of {settings.repeats} interleaved "
        f"runs on {settings.threads} thread(s)",
        box=box.MARKDOWN,
    )
    columns = (
        "size,gap,rule,method,iterations,s to gap,x ours,ms/iteration,CPU ms/iteration,LMO calls,products/call,MiB"
    )
    for column in columns.split(","):
        table.add_column(column, justify="left" if column in ("rule", "method") else "right")
    pace: dict[tuple[str, str], dict[int, float]] = {}
    for size, gap in settings.completion:
        plan = [("ours", rule) for rule in RULES]
        if not settings.without_copt:
            plan += [("copt", rule) for rule in COPT_STEPS]
        if size <= settings.dense_to:
            plan += [("dense SVD", "open-loop")]
        runs: dict[tuple[str, str], list[dict[str, Any]]] = {key: [] for key in plan}
        for _ in range(settings.repeats):
            for method, rule in plan:
                runs[method, rule].append(_measured(Measure(method, rule, size, gap, settings.limit), settings.threads))
        for method, rule in sorted(plan, key=lambda key: RULES.index(key[1])):
            mine, base = _median(runs[method, rule]), _median(runs["ours", rule])
            needed = base["iterations"] if method == "dense SVD" else mine["iterations"]
            # A run that was cut is given what it would take for as many iterations as ours needed.
            cut = not mine["reached"]
            total = mine["seconds"] / mine["iterations"] * max(needed, base["iterations"]) if cut else mine["seconds"]
            pace.setdefault((method, rule), {})[size] = mine["seconds"] / mine["iterations"]
            table.add_row(
                str(size),
                f"{gap:g}",
                rule,
                method,
                f"{mine['iterations']:.0f}" + (" (cut)" if cut else ""),
                ("~" if cut else "") + f"{total:.3g}",
                f"{total / base['seconds']:.1f}",
                f"{1e3 * mine['seconds'] / mine['iterations']:.3g}",
                f"{1e3 * mine['cpu'] / mine['iterations']:.3g}",
                f"{mine['calls']:.0f}",
                "" if mine["products"] is None else f"{mine['products']:.0f}",
                f"{mine['memory']:.0f}",
            )
    return [table, _growth(pace)]


def _growth(pace: dict[tuple[str, str], dict[int, float]]) -> Table:
    sizes = sorted({size for by_size in pace.values() for size in by_size})
    table = Table(title="Growth of the time per iteration (ms), and its power of the size", box=box.MARKDOWN)
    for column in ("rule", "method", *map(str, sizes), *(f"{a} to {b}" for a, b in pairwise(sizes))):
        table.add_column(column, justify="left" if column in ("rule", "method") else "right")
    for (method, rule), by_size in sorted(pace.items(), key=lambda item: RULES.index(item[0][1])):
        powers = [
            f"{math.log(by_size[b] / by_size[a]) / math.log(b / a):.1f}" if a in by_size and b in by_size else ""
            for a, b in pairwise(sizes)
        ]
        times = [f"{1e3 * by_size[size]:.3g}" if size in by_size else "" for size in sizes]
        table.add_row(rule, method, *times, *powers)
    return table


def _measured(measure: Measure | Iterate | Seeds, threads: int) -> dict[str, Any]:
    """What the run printed, from a process of its own."""
    arguments = [f"--{name}={value}" for name, value in asdict(measure).items()]
    limits = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
    done = subprocess.run(
        [sys.executable, __file__, type(measure).__name__.lower(), *arguments],
        env=os.environ | limits,
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        raise ColaError(f"The run {measure} failed: {done.stderr.strip().splitlines()[-1:]}.")
    return json.loads(done.stdout)


def _median(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """The median of each number; counts are the same in every run that was not cut."""
    names = [name for name, value in runs[0].items() if value is not None]
    return {**runs[0], **{name: statistics.median(run[name] for run in runs) for name in names}}


def _resident() -> float:
    """The memory of this process now, in MiB."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 2**20


def _machine(settings: Compare) -> str:
    with open("/proc/cpuinfo") as file:
        model = next((line.split(":")[1].strip() for line in file if line.startswith("model name")), "")
    names = ["numpy", "scipy", "torch"] + ([] if settings.without_copt else ["copt"])
    return f"{os.cpu_count()} x {model}; Python {platform.python_version()}, " + ", ".join(
        f"{name} {version(name)}" for name in names
    )


def dense_regression(settings: Compare) -> list[Table]:
    """What an iteration of Frank-Wolfe on a dense regression costs, as a multiple of the gradient that it takes."""
    table = Table(
        title=f"Dense regression, outputs x inputs: an iteration (ms) against its gradient, medians of "
        f"{settings.iterations} interleaved pairs after a warm-up, {settings.threads} thread(s)",
        box=box.MARKDOWN,
    )
    for column in (
        "size",
        "rule",
        "gradient",
        "iteration, Lanczos",
        "x gradient",
        "products/call",
        "iteration, dense SVD",
    ):
        table.add_column(column, justify="left" if column == "rule" else "right")
    for size in settings.regression:
        for rule in ("open-loop", "exact"):
            found = _measured(Iterate(size, rule, settings.iterations), settings.threads)
            table.add_row(
                f"{size} x {size}",
                rule,
                f"{1e3 * found['gradient']:.3g}",
                f"{1e3 * found['lanczos']:.3g}",
                f"{found['ratio']:.2f}",
                f"{found['products']:.0f}",
                f"{1e3 * found['dense']:.3g}" if found["dense"] is not None else "",
            )
    return [table]


def chain_of_seeds(settings: Compare) -> list[Table]:
    """The chain over all seeds at once against the same chain by PEFT and `colarepro.chain`, seed after seed."""
    table = Table(
        title=f"COLA, 5 links of rank 2, 100 steps, 12 x 16: seconds by number of seeds, medians of {settings.repeats} "
        "interleaved runs, one thread",
        box=box.MARKDOWN,
    )
    for column in ("seeds", "all at once", "seed by seed", "ratio", "largest difference of a weight"):
        table.add_column(column, justify="right")
    for seeds in settings.seeds:
        found = _measured(Seeds(seeds, settings.repeats), 1)
        table.add_row(
            str(seeds),
            f"{found['batched']:.3g}",
            f"{found['looped']:.3g}",
            f"{found['looped'] / found['batched']:.1f}",
            f"{found['difference']:.1e}",
        )
    return [table]


SECTIONS: dict[str, Callable[[Compare], list[Table]]] = {
    "completion": completion,
    "regression": dense_regression,
    "chain": chain_of_seeds,
}


def main() -> None:
    exit_cleanly(tyro.cli(Compare | Measure | Iterate | Seeds, default=Compare()))


if __name__ == "__main__":
    main()
