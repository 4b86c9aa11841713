"""Chain of LoRA, and of PEFT's other methods: train a link, tie a knot, start the next link.

In a script that already has a PEFT model and a ``transformers.Trainer``::

    from colarepro.chain import ChainCallback, Schedule

    trainer = Trainer(model=peft_model, ..., callbacks=[ChainCallback(Schedule(length=3))])

In a plain loop, `Chain` is called once after every optimizer step.
"""

import importlib
from typing import TYPE_CHECKING, Any

from colarepro.chain.schedule import Plan, Schedule

if TYPE_CHECKING:
    from colarepro.chain.callback import ChainCallback
    from colarepro.chain.chain import Chain
    from colarepro.chain.export import export_adapter, export_merged

__all__ = ["Chain", "ChainCallback", "Plan", "Schedule", "export_adapter", "export_merged"]

_HOMES = {"Chain": "chain", "ChainCallback": "callback", "export_adapter": "export", "export_merged": "export"}


def __getattr__(name: str) -> Any:
    """Import on first use: PEFT and transformers take seconds, and a schedule needs neither."""
    if name not in _HOMES:
        raise AttributeError(f"module 'colarepro.chain' has no attribute {name!r}")
    return getattr(importlib.import_module(f"colarepro.chain.{_HOMES[name]}"), name)
