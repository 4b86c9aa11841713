"""What a run leaves behind: one typed JSON record a run, in a folder of records; and statistics over them."""

from colarepro.results.damage import Damage
from colarepro.results.record import Record, environment
from colarepro.results.statistics import Interval, mean_interval
from colarepro.results.store import Store

__all__ = ["Damage", "Interval", "Record", "Store", "environment", "mean_interval"]
