"""An extreme point of the ball, as the oracle's answer."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Atom:
    """``radius left right^T`` with the gap that it shows, and the bound on the gap that its oracle vouches for."""

    left: Tensor
    right: Tensor
    gap: float
    bound: float
