"""What has an interval of any level."""

from abc import ABC, abstractmethod
from typing import Literal

TAIL = 0.025
"""Probability of the truth beyond either end of a 95 % interval."""


class Graded(ABC):
    """Its 95 % interval is the one between its ends for `TAIL`."""

    @abstractmethod
    def end(self, side: Literal[-1, 1], tail: float) -> float:
        """The lower (-1) or upper (1) end beyond which the truth lies with probability ``tail``; NaN if unknown."""

    @property
    def low(self) -> float:
        """Lower end of the 95 % interval."""
        return self.end(-1, TAIL)

    @property
    def high(self) -> float:
        """Upper end of the 95 % interval."""
        return self.end(1, TAIL)
