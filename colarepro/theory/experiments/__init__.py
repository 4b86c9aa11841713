"""The testbed's experiments, one file each: what is run, on which seeds, and the record that each run leaves."""

from collections.abc import Callable, Iterator

from colarepro.results import Record, Store
from colarepro.theory.experiments.beyond import beyond
from colarepro.theory.experiments.convergence import convergence
from colarepro.theory.experiments.counterexample import counterexample
from colarepro.theory.experiments.digits import digits
from colarepro.theory.experiments.frank_wolfe import frank_wolfe
from colarepro.theory.experiments.generalization import generalization
from colarepro.theory.experiments.job import Job, run
from colarepro.theory.experiments.precision import precision
from colarepro.theory.experiments.pursuit import pursuit
from colarepro.theory.experiments.rac_lora import rac_lora
from colarepro.theory.experiments.settings import FULL, QUICK, Settings
from colarepro.theory.experiments.theorem import theorem

EXPERIMENTS: dict[str, Callable[[Settings], Iterator[Job]]] = {
    "convergence": convergence,
    "theorem": theorem,
    "frank-wolfe": frank_wolfe,
    "rac-lora": rac_lora,
    "counterexample": counterexample,
    "pursuit": pursuit,
    "beyond": beyond,
    "precision": precision,
    "generalization": generalization,
    "digits": digits,
}


def run_all(settings: Settings, store: Store, workers: int = 1) -> list[Record]:
    """Answer every question that ``store`` does not answer yet, in ``workers`` processes; return all answers in order.

    Raises `ColaError` for settings that cannot be run, before any work.
    """
    settings.check()
    return run([job for experiment in EXPERIMENTS.values() for job in experiment(settings)], store, workers)


__all__ = ["EXPERIMENTS", "FULL", "QUICK", "Job", "Settings", "run_all"]
