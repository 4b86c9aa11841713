"""Records to draw from: small runs of every theory experiment, and language-model records made by hand."""

import pytest

from colarepro.results import Record, Store
from colarepro.theory.experiments import EXPERIMENTS, Settings
from colarepro.theory.experiments.job import run

SETTINGS = Settings(seeds=2, steps=80, horizon=8, rates=(0.1,), longest_chain=2)


def llm_record(method: str, seed: int, accuracy: float, task: str = "rte") -> Record:
    return Record(
        kind="llm",
        config={"model": "tiny", "task": task, "method": method, "learning_rate": 1e-3, "seed": seed},
        scores={"test_accuracy": accuracy, "test_majority": 0.5},
        curves={
            "step": list(range(1, 61)),
            "loss": [float(60 - step) for step in range(60)],
            "knots": [36] if method == "cola" else [],
        },
        predictions={"test": [0, 1], "test_labels": [0, 1]},
        costs={
            "parameters_trained": 10.0,
            "flops_train": 4e6,
            "tokens": 900.0,
            "padding_share": 0.1,
            "seconds_train": 2.0,
        },
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
        for method in ("full", "lora", "cola")
        for seed in range(2)
        for task in ("rte", "wic")
    ]
    return theory + llm
