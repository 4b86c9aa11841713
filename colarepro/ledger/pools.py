"""The sizes of the tasks' test pools."""

from pathlib import Path

import pandas as pd

from colarepro.errors import ColaError


def read_pools(path: Path) -> dict[str, int]:
    """Rows of each task's validation split, from which the test items are drawn, as ``data/tasks.csv`` has them.

    Raises `ColaError` if the file is not there or lacks a column, or if a number of rows is none.
    """
    try:
        facts = pd.read_csv(path, usecols=["task", "validation_rows"]).drop_duplicates("task")
        return dict(zip(facts["task"], facts["validation_rows"].astype(int), strict=True))
    except (OSError, ValueError) as error:
        raise ColaError(f"The table of tasks {path} could not be read: {error}.") from error
