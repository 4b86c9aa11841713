"""Which item of a task's test set each answer of a record is to."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np

from colarepro.errors import ColaError
from colarepro.results.record import Record


def items(record: Record, pools: Mapping[str, int] | None = None) -> np.ndarray | None:
    """For every test answer the row of the task's validation split that it is to, int64 of shape (answers,).

    A record keeps answers in the order of its draw, which is NumPy's legacy permutation of the split's rows under
    ``data_seed``, cut to ``test_examples`` (`colarepro.tasks.protocol.draw`). If fewer than that many were judged, the
    whole split was, and its size is known; else ``pools`` gives the number of rows by task. None if it does not.
    """
    count, asked = len(record.predictions["test"]), record.config["test_examples"]
    pool = count if count < asked else (pools or {}).get(record.config["task"])
    if pool is None:
        return None
    if pool < count:
        raise ColaError(f"Task {record.config['task']} has {pool} validation rows, but {count} answers were recorded.")
    return np.random.RandomState(record.config["data_seed"]).permutation(pool)[:count]


def common_items(records: Sequence[Record], pools: Mapping[str, int] | None = None) -> list[np.ndarray]:
    """`items` of one record a draw, numbered alike: equal numbers are one item, in whichever draws it occurs.

    Where the size of the split is unknown, every draw counts as items of its own, which takes what draws have in common
    for news. Raises `ColaError` if draws disagree on the label of an item, since then these are not the same rows.
    """
    found = [items(record, pools) for record in records]
    known = [rows for rows in found if rows is not None]
    if len(known) < len(found):
        ends = np.cumsum([0, *(len(record.predictions["test"]) for record in records)])
        return [np.arange(start, end) for start, end in pairwise(ends)]
    labels = np.full(1 + max(int(rows.max()) for rows in known), -1)
    for record, rows in zip(records, known, strict=True):
        said = np.asarray(record.predictions["test_labels"])
        if (differing := (labels[rows] != -1) & (labels[rows] != said)).any():
            raise ColaError(
                f"Draw {record.config['data_seed']} of task {record.config['task']} has other labels for "
                f"{int(differing.sum())} items than the draws before it; expected one and the same validation split."
            )
        labels[rows] = said
    return known
