"""Step sizes, by what they look at."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from colarepro.theory.completion.atom import Atom
from colarepro.theory.completion.weight import Weight


@dataclass(frozen=True)
class Situation:
    """What a rule may look at; ``direction`` is V - W on the entries."""

    index: int
    loss: float
    atom: Atom
    direction: Tensor
    weight: Weight

    @property
    def curvature(self) -> float:
        """The second derivative of the loss along V - W."""
        return float(self.direction @ self.direction) / len(self.direction)


def _open_loop(at: Situation) -> float:
    return 2 / (at.index + 2)


def _exact(at: Situation) -> float:
    return _ratio(at.atom.gap, at.curvature)


class Short:
    """gap / (L |V - W|^2), with |W|^2 kept from step to step."""

    def __init__(self, radius: float, smoothness: float) -> None:
        self._radius = radius
        self._smoothness = smoothness
        self._squared_norm = 0.0

    def __call__(self, at: Situation) -> float:
        inner = self._radius * at.weight.inner(at.atom)
        squared_length = max(self._squared_norm - 2 * inner + self._radius**2, 0.0)
        step = _ratio(at.atom.gap, self._bend(at, squared_length))
        kept = (1 - step) ** 2 * self._squared_norm + 2 * (1 - step) * step * inner
        self._squared_norm = kept + (step * self._radius) ** 2
        return step

    def _bend(self, at: Situation, squared_length: float) -> float:
        return self._smoothness * squared_length


class Adaptive(Short):
    """The same with a local L, which a step shrinks by up to a tenth and backtracking doubles."""

    _local: float | None = None
    _loss = math.inf

    def _bend(self, at: Situation, squared_length: float) -> float:
        if squared_length == 0:
            return 0.0
        curvature = at.curvature
        if self._local is None:  # |gradient(W) - gradient(V)| / |W - V|
            self._local = math.sqrt(curvature * self._smoothness / squared_length)
        elif self._loss > at.loss:
            guess = at.atom.gap**2 / (2 * (self._loss - at.loss) * squared_length)
            self._local = min(max(guess, 0.9 * self._local), self._local)
        self._loss = at.loss
        # The loss falls as much as its model with this L says exactly when L |V - W|^2 >= curvature, and so at
        # the latest when L is the smoothness.
        while self._local * squared_length < curvature and self._local < self._smoothness:
            self._local *= 2
        return self._local * squared_length


def _ratio(gap: float, bend: float) -> float:
    if gap <= 0:
        return 0.0
    return min(1.0, gap / bend) if bend > 0 else 1.0


RULES: dict[str, Callable[[float, float], Callable[[Situation], float]]] = {
    "open-loop": lambda radius, smoothness: _open_loop,
    "short": Short,
    "exact": lambda radius, smoothness: _exact,
    "adaptive": Adaptive,
}
