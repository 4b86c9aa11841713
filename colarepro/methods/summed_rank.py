"""The control that isolates the chain from its rank: one LoRA of the rank that all links have together."""

import math
from dataclasses import replace
from typing import Any

from colarepro.chain import Schedule
from colarepro.methods.adapter import Adapter
from colarepro.methods.prepared import Prepared


def summed_rank(model: Any, adapter: Adapter, schedule: Schedule, seed: int) -> Prepared:
    """LoRA of the links' summed rank, at the scaling of the first link: alpha/rank, or rsLoRA's alpha/sqrt(rank)."""
    ranks = schedule.ranks or (adapter.rank,) * schedule.links
    growth = sum(ranks) / ranks[0]
    if adapter.variant == "rslora":
        growth = math.sqrt(growth)
    return Prepared(replace(adapter, alpha=adapter.alpha * growth).attach(model, sum(ranks)))
