"""What is compared. A method takes a pretrained model and makes it trainable; one file each.

To add one, write its function and enter it in `METHODS`.
"""

from collections.abc import Callable
from typing import Any

from colarepro.chain import Schedule
from colarepro.errors import ColaError
from colarepro.methods.adapter import Adapter
from colarepro.methods.cola import cola
from colarepro.methods.full import full
from colarepro.methods.lora import lora
from colarepro.methods.prepared import Prepared

Method = Callable[[Any, Adapter, Schedule, int], Prepared]

METHODS: dict[str, Method] = {"full": full, "lora": lora, "cola": cola}


def method(name: str) -> Method:
    """A method by name; raises `ColaError` for an unknown one."""
    if name not in METHODS:
        raise ColaError(f"Unknown method '{name}'; expected one of {', '.join(METHODS)}.")
    return METHODS[name]


__all__ = ["METHODS", "Adapter", "Prepared", "method"]
