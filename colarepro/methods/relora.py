"""ReLoRA (Lialin et al., arXiv 2307.05695): a chain that prunes the optimizer's state and warms up again."""

from dataclasses import replace
from typing import Any

from colarepro.chain import ChainCallback, Schedule
from colarepro.methods.adapter import Adapter
from colarepro.methods.prepared import Prepared

WARMUP = 10  # steps after a knot, unless the schedule says otherwise


def relora(model: Any, adapter: Adapter, schedule: Schedule, seed: int) -> Prepared:
    """The schedule's knots and ranks, with ReLoRA's knot: moments pruned, Adam's step count and the schedule go on."""
    knots = replace(schedule, reset="prune", learning_rate="rewarm", warmup=schedule.warmup or WARMUP)
    rank = schedule.ranks[0] if schedule.ranks else adapter.rank
    return Prepared(adapter.attach(model, rank), ChainCallback(knots, seed=seed))
