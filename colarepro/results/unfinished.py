"""What a killed run, or a fleet of them, left in its folder."""

from contextlib import suppress
from pathlib import Path

from safetensors import SafetensorError, safe_open

STATE = "fleet.safetensors"
"""A fleet's state in its folder."""


def steps_done(folder: Path) -> int:
    """The step from which the same run or fleet goes on if it is asked again; 0 if it begins anew."""
    steps = [int(path.name[11:]) for path in folder.glob("checkpoint-*") if path.name[11:].isdigit()]
    with suppress(FileNotFoundError, SafetensorError), safe_open(folder / STATE, framework="numpy") as file:
        steps.append(int((file.metadata() or {}).get("steps", 0)))
    return max(steps, default=0)
