"""What is wrong with a file of a store."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Damage:
    """A file that does not hold what its name says, and what is wrong with it in one sentence."""

    path: Path
    said: str
