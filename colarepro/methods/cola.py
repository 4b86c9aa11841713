"""Chain of LoRA (Xia, Qin & Hazan, arXiv 2401.04151)."""

from typing import Any

from colarepro.chain import ChainCallback, Schedule
from colarepro.methods.adapter import Adapter
from colarepro.methods.prepared import Prepared


def cola(model: Any, adapter: Adapter, schedule: Schedule, seed: int) -> Prepared:
    """The model with a first link, and the callback that ties the knots."""
    rank = schedule.ranks[0] if schedule.ranks else adapter.rank
    return Prepared(adapter.attach(model, rank), ChainCallback(schedule, seed=seed))
