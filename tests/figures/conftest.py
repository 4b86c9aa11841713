"""Records to draw from: small runs of every theory experiment, and language-model records made by hand."""

from typing import Any

import pytest

from colarepro.methods import METHODS
from colarepro.results import Record, Store
from colarepro.theory.experiments import EXPERIMENTS, Settings
from colarepro.theory.experiments.job import run

SETTINGS = Settings(seeds=2, steps=80, horizon=8, rates=(0.1,), longest_chain=2)


def llm_record(method: str, seed: int, accuracy: float, task: str = "rte", **changes: Any) -> Record:
    """As a run leaves it, in the fields that figures read; what trains by no gradient has neither curves nor FLOPs."""
    trains = METHODS[method].prepare is not None
    training = {"learning_rate": 1e-3, "seed": seed} if trains else {}
    return Record(
        kind="llm",
        config={"model": "tiny", "task": task, "method": method} | training | changes,
        scores={"test_accuracy": accuracy, "test_majority": 0.5},
        curves={
            "step": list(range(1, 61)),
            "loss": [float(60 - step) for step in range(60)],
            "knots": [36] if method == "cola" else [],
        }
        if trains
        else {},
        predictions={"test": [0, 1], "test_labels": [0, 1]},
        costs={
            "parameters_trained": 10.0,
            "flops_train": 4e6,
            "tokens": 900.0,
            "padding_share": 0.1,
            "seconds_train": 2.0,
        }
        if trains
        else {"parameters_trained": 0.0, "seconds_test": 1.0},
        environment={"device": "cpu (x86_64)"},
    )


@pytest.fixture(scope="session")
def theory(tmp_path_factory: pytest.TempPathFactory) -> list[Record]:
    jobs = [job for experiment in EXPERIMENTS.values() for job in experiment(SETTINGS)]
    store = Store(tmp_path_factory.mktemp("theory"))
    run(jobs, store)
    return run(jobs, store)  # as read from the files, where a number that is not finite is null


@pytest.fixture(scope="session")
def records(theory: list[Record]) -> list[Record]:
    llm = [
        llm_record(method, seed, 0.6 + 0.1 * seed, task)
        for method, chosen in METHODS.items()
        for seed in range(2 if chosen.prepare is not None else 1)
        for task in ("rte", "wic")
    ]
    llm += [
        llm_record("cola", 0, 0.9, adapter={"variant": "dora"}),
        llm_record("cola", 0, 0.9, chain={"length": 3, "ranks": [8, 4, 2]}),
        llm_record("cola", 0, 0.9, chain={"length": 2, "initialization": "same"}),
    ]
    return theory + llm
