"""Records to draw from: small runs of every theory experiment, and a campaign of language models made by hand."""

import pytest

from colarepro.results import Record, Store
from colarepro.theory.experiments import EXPERIMENTS, Settings
from colarepro.theory.experiments.job import run
from tests.figures.anatomy import watched_runs
from tests.figures.campaign import campaign

SETTINGS = Settings(seeds=2, steps=80, horizon=8, rates=(0.1,), longest_chain=3)


@pytest.fixture(scope="session")
def theory(tmp_path_factory: pytest.TempPathFactory) -> list[Record]:
    jobs = [job for experiment in EXPERIMENTS.values() for job in experiment(SETTINGS)]
    store = Store(tmp_path_factory.mktemp("theory"))
    run(jobs, store)
    return run(jobs, store)  # as read from the files, where a number that is not finite is null


@pytest.fixture(scope="session")
def runs() -> list[Record]:
    """The campaign of language models."""
    return list(campaign())


@pytest.fixture(scope="session")
def records(theory: list[Record], runs: list[Record]) -> list[Record]:
    return theory + runs + list(watched_runs())
