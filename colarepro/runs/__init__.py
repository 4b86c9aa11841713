"""How runs happen: a configuration, its run, its record; and sweeps of many."""

from colarepro.runs.config import RunConfig
from colarepro.runs.perform import perform

__all__ = ["RunConfig", "perform"]
