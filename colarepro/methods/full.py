"""Full fine-tuning: every parameter is trained."""

from typing import Any

from colarepro.chain import Schedule
from colarepro.methods.adapter import Adapter
from colarepro.methods.prepared import Prepared


def full(model: Any, adapter: Adapter, schedule: Schedule, seed: int) -> Prepared:
    """The model in float32, since small updates vanish in a narrower dtype; adapter and schedule do not apply."""
    return Prepared(model.float().requires_grad_(True))
