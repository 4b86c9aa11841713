"""Sweeps on a Ray cluster of this machine whose workers, nodes and drivers are killed at random moments.

``python -m benchmarks.chaos`` from the checkout's root, which must not change meanwhile: records name its commit. See
README.md beside this file.
"""

import random
import tempfile
import time
from collections import Counter
from pathlib import Path

import tyro

from colarepro.models import tiny
from colarepro.results import Store
from colarepro.runs.run_all import run_all
from colarepro.runs.sweep import load_sweep
from tests.runs.nodes import ROOT, Nodes, answers, kill

KINDS = ("worker", "node", "driver")
PAUSE = 8.0
"""Seconds at most between two kills."""
LIMIT = 300
"""Seconds that a sweep may take after the last kill."""


def campaign(kills: int, runs: int, seed: int) -> None:
    """Sweep after sweep until there were so many kills; each is compared with an undisturbed local one."""
    draw, injected, found = random.Random(seed), Counter[str](), Counter[str]()
    due = [KINDS[number % len(KINDS)] for number in range(kills)]
    draw.shuffle(due)
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        sweep = _sweep(place, runs)
        run_all(load_sweep(str(sweep)).configs, Store(place / "undisturbed"))
        wanted = answers(place / "undisturbed")
        nodes = Nodes(3)
        try:
            while due:
                shared = found["sweeps"] % 2 == 0
                name = f"{found['sweeps']}"
                # Below /proc/self/cwd every process sees a folder of its own.
                output = place / name if shared else Path("/proc/self/cwd") / name
                _disturbed(nodes, sweep, output, place if not shared else ROOT, due, draw, injected)
                got = answers(place / name)
                found["sweeps"] += 1
                found["records"] += len(got)
                found["lost"] += len(wanted.keys() - got.keys())
                found["doubled"] += len(got.keys() - wanted.keys()) + len(Store(place / name).damage())
                differing = [key for key in got.keys() & wanted.keys() if got[key] != wanted[key]]
                found["differing"] += len(differing)
                for key in differing:
                    pairs = {name: (field, wanted[key][name]) for name, field in got[key].items()}
                    print(key, {name: pair for name, pair in pairs.items() if pair[0] != pair[1]})
                print(dict(injected), dict(found), flush=True)
        finally:
            nodes.stop()


def _disturbed(
    nodes: Nodes, sweep: Path, output: Path, cwd: Path, due: list[str], draw: random.Random, injected: Counter[str]
) -> None:
    """One sweep to its end, killing what is due."""
    driver = nodes.drive(sweep, output, cwd=cwd)
    while due:
        end = time.monotonic() + draw.uniform(0, PAUSE)
        while time.monotonic() < end and driver.poll() is None:
            time.sleep(0.01)
        if due[-1] == "worker":
            while not nodes.workers() and driver.poll() is None:
                time.sleep(0.01)
        if driver.poll() is not None:
            break
        kind = due.pop()
        if kind == "worker":
            workers = nodes.workers()
            if not workers:
                due.append(kind)
                continue
            kill(draw.choice(workers))
        elif kind == "node":
            nodes.add()
            nodes.kill_node(draw.randrange(len(nodes.nodes) - 1))
        else:
            driver.kill()
            driver.communicate()
            driver = nodes.drive(sweep, output, cwd=cwd)
        injected[kind] += 1
        print(kind, end=" ", flush=True)
    said, _ = driver.communicate(timeout=LIMIT)
    if driver.returncode:
        raise SystemExit(f"The driver ended by itself: {said}")


def _sweep(place: Path, runs: int) -> Path:
    tiny.build(place / "model", steps=2)
    path = place / "sweep.yaml"
    path.write_text(
        f"base: {{model: {place / 'model'}, data_dir: {ROOT / 'data' / 'miniature'}, task: rte, epochs: 20, "
        "train_examples: 16, dev_examples: 8, test_examples: 8}\n"
        f"axes: {{method: [lora, cola], seed: {list(range(runs // 2))}}}"
    )
    return path


def main(kills: int = 50, runs: int = 16, seed: int = 0) -> None:
    """Kill so many processes in sweeps of so many runs."""
    campaign(kills, runs, seed)


if __name__ == "__main__":
    tyro.cli(main)
