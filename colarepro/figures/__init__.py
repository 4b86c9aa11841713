"""What people look at: one file a figure, each a pure function of records.

To add one, write its file with a `Figure` and enter it in `FIGURES`.
"""

from colarepro.errors import ColaError
from colarepro.figures.algorithm import ALGORITHM
from colarepro.figures.bound import BOUND
from colarepro.figures.convergence import CONVERGENCE
from colarepro.figures.cost import COST
from colarepro.figures.figure import Figure
from colarepro.figures.generalization import GENERALIZATION
from colarepro.figures.losses import LOSSES
from colarepro.figures.scores import SCORES

FIGURES: dict[str, Figure] = {
    figure.name: figure for figure in (ALGORITHM, CONVERGENCE, BOUND, GENERALIZATION, SCORES, LOSSES, COST)
}


def figure(name: str) -> Figure:
    """A figure by name; raises `ColaError` for an unknown one."""
    if name not in FIGURES:
        raise ColaError(f"Unknown figure '{name}'; expected all, list, or one of {', '.join(FIGURES)}.")
    return FIGURES[name]


__all__ = ["FIGURES", "Figure", "figure"]
