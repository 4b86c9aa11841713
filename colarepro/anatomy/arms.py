"""The runs that are looked at, by name."""

from typing import Any

from colarepro.chain import Schedule
from colarepro.errors import ColaError

ARMS: dict[str, dict[str, Any]] = {
    "lora": {"method": "lora"},
    "cola-2": {"method": "cola", "chain": Schedule(length=2)},
    "cola-3": {"method": "cola", "chain": Schedule(length=3)},
    "lora-rank-sum-2": {"method": "lora-rank-sum", "chain": Schedule(length=2)},
    "cola-2-same-A": {"method": "cola", "chain": Schedule(length=2, initialization="same")},
}
"""Fields of a `RunConfig`."""


def arm(name: str) -> dict[str, Any]:
    """An arm's fields; raises `ColaError` for an unknown one."""
    if name not in ARMS:
        raise ColaError(f"Unknown arm '{name}'; expected some of {', '.join(ARMS)}.")
    return ARMS[name]
