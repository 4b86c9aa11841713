"""COLA: a chain of adapters, merged into the weight one after the other."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from colarepro.chain import Schedule
from colarepro.errors import ColaError
from colarepro.theory.methods.adapter import AdapterMethod, AdapterState
from colarepro.theory.problem import Problem

DTYPES = {
    "float64": torch.float64,
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


@dataclass(frozen=True, kw_only=True)
class Cola(AdapterMethod):
    """``length`` links of equal numbers of steps; ``initialization`` is each link's A: fresh, or the first again.

    The frozen weight is kept in ``weights``, from the start on. With ``master``, a knot rounds the sum of that start
    and all links once, as `colarepro.chain` does; without, it rounds a link and adds it in the weight's own dtype, as
    merging adapters into a checkpoint does. Everything else is float64.
    """

    length: int = 4
    initialization: Literal["fresh", "same"] = "fresh"
    weights: str = "float64"
    master: bool = True
    name: ClassVar[str] = "cola"

    def schedule(self, steps: int) -> Schedule:
        return Schedule(length=self.length, initialization=self.initialization)

    def init(self, problem: Problem, steps: int, seeds: Sequence[int]) -> AdapterState:
        if self.weights not in DTYPES:
            raise ColaError(f"Unknown weights {self.weights!r}; expected one of {', '.join(DTYPES)}.")
        state = super().init(problem, steps, seeds)
        state.start = state.base = self._rounded(problem.start)
        return state

    def merged(self, state: AdapterState, update: Tensor) -> Tensor:
        if self.master:
            return self._rounded(state.start + state.total)
        return self._rounded(state.base + self._rounded(update))

    def next_A(self, state: AdapterState) -> Tensor:
        return state.first_A.clone() if self.initialization == "same" else super().next_A(state)

    def _rounded(self, weight: Tensor) -> Tensor:
        # A sum of two numbers of a narrow type is exact in float64, so rounding it once is that type's addition.
        return weight.to(DTYPES[self.weights]).to(torch.float64)
