"""The control that isolates the chain from its rank: one LoRA of the rank that all links have together."""

from dataclasses import replace
from typing import Any

from colarepro.chain import Schedule
from colarepro.methods.adapter import Adapter
from colarepro.methods.prepared import Prepared


def summed_rank(model: Any, adapter: Adapter, schedule: Schedule, seed: int) -> Prepared:
    """LoRA of the links' summed rank, at the scaling alpha/rank of the first link."""
    ranks = schedule.ranks or (adapter.rank,) * schedule.links
    return Prepared(replace(adapter, alpha=adapter.alpha * sum(ranks) / ranks[0]).attach(model, sum(ranks)))
