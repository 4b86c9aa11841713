"""A model ready to train."""

from dataclasses import dataclass
from typing import Any

from colarepro.chain import ChainCallback


@dataclass(frozen=True)
class Prepared:
    """What a method hands to the Trainer: the model, and the chain's callback where there is a chain."""

    model: Any
    chain: ChainCallback | None = None
