"""RAC-LoRA (Malinovsky et al., arXiv 2410.08305): a chain whose links train B alone, over a fresh random A."""

from typing import Any

from colarepro.chain import ChainCallback, Schedule
from colarepro.methods.adapter import Adapter
from colarepro.methods.asymmetric_lora import freeze_A
from colarepro.methods.prepared import Prepared


def rac_lora(model: Any, adapter: Adapter, schedule: Schedule, seed: int) -> Prepared:
    """The first link with A frozen, and the callback that ties the knots.

    As the paper's own experiments have it, by AdamW on B; the projected step of its theory is in
    `colarepro.theory.methods.rac_lora`.
    """
    rank = schedule.ranks[0] if schedule.ranks else adapter.rank
    return Prepared(freeze_A(adapter.attach(model, rank)), ChainCallback(schedule, seed=seed))
