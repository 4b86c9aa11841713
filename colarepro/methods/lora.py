"""LoRA (Hu et al., arXiv 2106.09685): one link, which is never merged."""

from typing import Any

from colarepro.chain import Schedule
from colarepro.methods.adapter import Adapter
from colarepro.methods.prepared import Prepared


def lora(model: Any, adapter: Adapter, schedule: Schedule, seed: int) -> Prepared:
    """The model with one adapter; the schedule does not apply."""
    return Prepared(adapter.attach(model))
