"""What a run leaves behind: one typed JSON record a run, in a folder of records; and tables and statistics of them."""

from colarepro.results.arms import arm, settings
from colarepro.results.damage import Damage
from colarepro.results.paired import Comparison, average, compare, holm
from colarepro.results.record import Record, environment
from colarepro.results.runs_table import CELL, runs_table, selected
from colarepro.results.statistics import Interval, mean_interval
from colarepro.results.store import Store

__all__ = [
    "CELL",
    "Comparison",
    "Damage",
    "Interval",
    "Record",
    "Store",
    "arm",
    "average",
    "compare",
    "environment",
    "holm",
    "mean_interval",
    "runs_table",
    "selected",
    "settings",
]
