"""What the package knows beside records: numbers that papers report, and the sizes of the tasks' test pools."""

from functools import cache
from pathlib import Path

from colarepro.ledger import Reported, read_pools

DATA = Path(__file__).parents[2] / "data"


@cache
def reported() -> Reported:
    """``data/reported.csv``, one number a row, with how sure it is; see ``data/README.md``."""
    return Reported.read(DATA / "reported.csv")


@cache
def pools() -> dict[str, int]:
    """Rows of each task's validation split, from which the test items are drawn."""
    return read_pools(DATA / "tasks.csv")
