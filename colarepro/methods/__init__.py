"""What is compared, one file each. A method makes a pretrained model trainable, or answers with it as it is.

To add one, write its function and enter it in `METHODS`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from colarepro.chain import Schedule
from colarepro.errors import ColaError
from colarepro.methods.adapter import Adapter
from colarepro.methods.answers import Answers, Question
from colarepro.methods.asymmetric_lora import asymmetric_lora
from colarepro.methods.cola import cola
from colarepro.methods.full import full
from colarepro.methods.in_context import in_context
from colarepro.methods.linear_probe import linear_probe
from colarepro.methods.lora import lora
from colarepro.methods.prepared import Prepared
from colarepro.methods.rac_lora import rac_lora
from colarepro.methods.relora import relora
from colarepro.methods.restart import restart
from colarepro.methods.summed_rank import summed_rank
from colarepro.methods.zero_shot import zero_shot


@dataclass(frozen=True)
class Method:
    """Either ``prepare`` makes a model trainable, or ``answer`` answers without training; ``reads`` names the fields
    of a `RunConfig` that only some methods read, and this one does."""

    prepare: Callable[[Any, Adapter, Schedule, int], Prepared] | None = None
    answer: Callable[[Question], Answers] | None = None
    reads: tuple[str, ...] = ()


TRAINING = ("learning_rate", "epochs", "max_steps", "batch_size", "seed")

METHODS: dict[str, Method] = {
    "full": Method(full, reads=TRAINING),
    "lora": Method(lora, reads=(*TRAINING, "adapter")),
    "cola": Method(cola, reads=(*TRAINING, "adapter", "chain")),
    "lora-restart": Method(restart, reads=(*TRAINING, "adapter", "chain")),
    "lora-rank-sum": Method(summed_rank, reads=(*TRAINING, "adapter", "chain")),
    "relora": Method(relora, reads=(*TRAINING, "adapter", "chain")),
    "asym-lora": Method(asymmetric_lora, reads=(*TRAINING, "adapter")),
    "rac-lora": Method(rac_lora, reads=(*TRAINING, "adapter", "chain")),
    "linear-probe": Method(answer=linear_probe),
    "zero-shot": Method(answer=zero_shot),
    "in-context": Method(answer=in_context, reads=("seed", "demonstrations")),
}
OPTIONAL = frozenset(name for method in METHODS.values() for name in method.reads)
"""Fields of a `RunConfig` that not every method reads."""


def method(name: str) -> Method:
    """A method by name; raises `ColaError` for an unknown one."""
    if name not in METHODS:
        raise ColaError(f"Unknown method '{name}'; expected one of {', '.join(METHODS)}.")
    return METHODS[name]


__all__ = ["METHODS", "OPTIONAL", "Adapter", "Answers", "Method", "Prepared", "Question", "method"]
