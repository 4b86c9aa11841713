"""What a run leaves behind: one typed JSON record a run, in a folder of records."""

from colarepro.results.record import Record, environment
from colarepro.results.store import Store

__all__ = ["Record", "Store", "environment"]
