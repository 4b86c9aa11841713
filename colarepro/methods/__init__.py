"""What is compared. A method takes a pretrained model and makes it trainable; one file each.

To add one, write its function and enter it in `METHODS`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from colarepro.chain import Schedule
from colarepro.errors import ColaError
from colarepro.methods.adapter import Adapter
from colarepro.methods.asymmetric_lora import asymmetric_lora
from colarepro.methods.cola import cola
from colarepro.methods.full import full
from colarepro.methods.lora import lora
from colarepro.methods.prepared import Prepared
from colarepro.methods.rac_lora import rac_lora
from colarepro.methods.relora import relora
from colarepro.methods.restart import restart
from colarepro.methods.summed_rank import summed_rank


@dataclass(frozen=True)
class Method:
    """``prepare`` makes a model trainable; the rest says which parts of a configuration it reads."""

    prepare: Callable[[Any, Adapter, Schedule, int], Prepared]
    reads_adapter: bool = True
    reads_chain: bool = True


METHODS: dict[str, Method] = {
    "full": Method(full, reads_adapter=False, reads_chain=False),
    "lora": Method(lora, reads_chain=False),
    "cola": Method(cola),
    "lora-restart": Method(restart),
    "lora-rank-sum": Method(summed_rank),
    "relora": Method(relora),
    "asym-lora": Method(asymmetric_lora, reads_chain=False),
    "rac-lora": Method(rac_lora),
}


def method(name: str) -> Method:
    """A method by name; raises `ColaError` for an unknown one."""
    if name not in METHODS:
        raise ColaError(f"Unknown method '{name}'; expected one of {', '.join(METHODS)}.")
    return METHODS[name]


__all__ = ["METHODS", "Adapter", "Method", "Prepared", "method"]
