"""The 3 x 3 quadratic that RAC-LoRA (arXiv 2410.08305, Section 3) holds against LoRA and COLA."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from colarepro.errors import ColaError
from colarepro.theory.problem import Problem


class Counterexample(Problem):
    """loss(W) = sum of M * W^2 + W over the nine entries, with M = 10 at the first entry and 1 elsewhere.

    Started at zero. ``smoothness`` is 20; the optimum W = -1 / (2 M) has rank 2, so one link of rank 1
    cannot hold it. There is no test split: ``test_loss`` is NaN.
    """

    name = "counterexample"
    quadratic = True
    gradient_flops = 0  # no matrix product

    def __init__(self, count: int = 1) -> None:
        if count < 1:
            raise ColaError(f"{count} copies of a problem were asked for; expected at least one.")
        self.start = torch.zeros(count, 3, 3, dtype=torch.float64)
        self._weights = torch.ones_like(self.start)
        self._weights[:, 0, 0] = 10
        self._optimum = -0.5 / self._weights
        self.smoothness = torch.full((count,), 20.0, dtype=torch.float64)
        self.best_value = -(0.25 / self._weights).sum((1, 2))

    def loss(self, weight: Tensor) -> Tensor:
        return self.best_value + self.excess(weight)

    def excess(self, weight: Tensor) -> Tensor:
        return self.curvature(weight - self._optimum) / 2

    def gradient(self, weight: Tensor) -> Tensor:
        return 2 * self._weights * (weight - self._optimum)

    def curvature(self, direction: Tensor) -> Tensor:
        return 2 * (self._weights * direction.square()).sum((1, 2))

    def test_loss(self, weight: Tensor) -> Tensor:
        return torch.full((len(weight),), torch.nan, dtype=torch.float64)


@dataclass(frozen=True)
class CounterexampleSpec:
    """The same problem for every seed; only the methods' draws differ."""

    def config(self) -> dict[str, Any]:
        return {"name": Counterexample.name, **dataclasses.asdict(self)}

    def draw(self, seeds: Sequence[int]) -> Counterexample:
        return Counterexample(len(seeds))
