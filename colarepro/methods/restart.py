"""The control without a merge: LoRA whose optimizer and learning rate restart where COLA ties its knots."""

from dataclasses import replace
from typing import Any

from colarepro.chain import ChainCallback, Schedule
from colarepro.methods.adapter import Adapter
from colarepro.methods.prepared import Prepared


def restart(model: Any, adapter: Adapter, schedule: Schedule, seed: int) -> Prepared:
    """One adapter from start to end, of the first link's rank; of the schedule only the knots' places count."""
    rank = schedule.ranks[0] if schedule.ranks else adapter.rank
    knots = replace(schedule, fold="none", learning_rate="restart", warmup=0, initialization="fresh", ranks=())
    return Prepared(adapter.attach(model, rank), ChainCallback(knots, seed=seed))
