"""The paper's Table 2: Llama-2-7B."""

from collections.abc import Sequence

import pandas as pd

from colarepro.figures.arms import chosen
from colarepro.figures.figure import Figure
from colarepro.figures.table_1 import OURS, draw, measured, reported_in
from colarepro.results import Record

MODEL = "meta-llama/Llama-2-7b-hf"


def table(records: Sequence[Record]) -> pd.DataFrame:
    """As Table 1, on Llama-2-7B; what the paper reports even where nothing was run."""
    runs = chosen([record for record in records if record.config["model"] == MODEL])
    frames = [reported_in("Table 2"), *([] if runs.empty else [measured(runs)])]
    return pd.concat(frames, ignore_index=True)


def caption(frame: pd.DataFrame) -> str:
    ours = "measured" if (frame["certainty"] == OURS).any() else "nothing was run on this model"
    return (
        "Test accuracy in per cent on Llama-2-7B. Reported: the paper's Table 2, of which only the pair on RTE could "
        f"be recovered, from notes on the paper. Ours: {ours}."
    )


TABLE_2 = Figure("table-2", "Table 2: Llama-2-7B", "llm", table, draw, caption)
