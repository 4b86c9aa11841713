"""Chain of LoRA on PEFT: train a link, tie a knot, start the next link.

In a script that already has a PEFT model and a ``transformers.Trainer``::

    from colarepro.chain import ChainCallback, Schedule

    trainer = Trainer(model=peft_model, ..., callbacks=[ChainCallback(Schedule(length=3))])

In a plain loop, `Chain` is called once after every optimizer step.
"""

from colarepro.chain.callback import ChainCallback
from colarepro.chain.chain import Chain
from colarepro.chain.export import export_adapter, export_merged
from colarepro.chain.schedule import Plan, Schedule

__all__ = ["Chain", "ChainCallback", "Plan", "Schedule", "export_adapter", "export_merged"]
