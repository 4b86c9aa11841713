"""One thing that was looked at."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """What was looked at and what it is like, in one sentence.

    A ``note`` is nothing wrong, but worth knowing; ``repaired`` is what was wrong before.
    """

    about: str
    state: Literal["fine", "note", "wrong", "repaired"]
    said: str
