"""What people look at: one file a figure, each a pure function of records.

To add one, write its file with a `Figure` and enter it in `FIGURES`.
"""

from colarepro.errors import ColaError
from colarepro.figures.agreement import AGREEMENT
from colarepro.figures.algorithm import ALGORITHM
from colarepro.figures.anatomy import ANATOMY
from colarepro.figures.best_epoch import BEST_EPOCH
from colarepro.figures.beyond import BEYOND
from colarepro.figures.bound import BOUND
from colarepro.figures.chain_length import CHAIN_LENGTH
from colarepro.figures.controls import CONTROLS_FIGURE
from colarepro.figures.convergence import CONVERGENCE
from colarepro.figures.cost import COST
from colarepro.figures.counterexample import COUNTEREXAMPLE
from colarepro.figures.digits import DIGITS
from colarepro.figures.figure import Figure
from colarepro.figures.forest import FOREST
from colarepro.figures.frank_wolfe import FRANK_WOLFE
from colarepro.figures.generalization import GENERALIZATION
from colarepro.figures.knot_policy import KNOT_POLICY
from colarepro.figures.learning_rates import LEARNING_RATES
from colarepro.figures.losses import LOSSES
from colarepro.figures.precision import PRECISION
from colarepro.figures.pursuit import PURSUIT
from colarepro.figures.rac_lora import RAC_LORA
from colarepro.figures.rank_step_down import RANK_STEP_DOWN
from colarepro.figures.side_by_side import SIDE_BY_SIDE
from colarepro.figures.table_1 import TABLE_1
from colarepro.figures.table_2 import TABLE_2
from colarepro.figures.table_3 import TABLE_3
from colarepro.figures.table_4 import TABLE_4
from colarepro.figures.train_test_gap import TRAIN_TEST_GAP

FIGURES: dict[str, Figure] = {
    figure.name: figure
    for figure in (
        ALGORITHM,
        CONVERGENCE,
        BOUND,
        FRANK_WOLFE,
        RAC_LORA,
        COUNTEREXAMPLE,
        PURSUIT,
        BEYOND,
        PRECISION,
        GENERALIZATION,
        TRAIN_TEST_GAP,
        DIGITS,
        TABLE_1,
        TABLE_2,
        FOREST,
        CONTROLS_FIGURE,
        TABLE_3,
        CHAIN_LENGTH,
        TABLE_4,
        RANK_STEP_DOWN,
        KNOT_POLICY,
        BEST_EPOCH,
        LEARNING_RATES,
        LOSSES,
        COST,
        ANATOMY,
        SIDE_BY_SIDE,
        AGREEMENT,
    )
}


def figure(name: str) -> Figure:
    """A figure by name; raises `ColaError` for an unknown one."""
    if name not in FIGURES:
        raise ColaError(f"Unknown figure '{name}'; expected all, list, or one of {', '.join(FIGURES)}.")
    return FIGURES[name]


__all__ = ["FIGURES", "Figure", "figure"]
