"""ReLoRA: merge and start anew as COLA does, but prune the optimizer's state and warm the learning rate up again."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from colarepro.chain import Schedule
from colarepro.chain.moments import prune_moments
from colarepro.errors import ColaError
from colarepro.theory.methods.adapter import AdapterMethod, AdapterState
from colarepro.theory.problem import Problem


@dataclass(frozen=True, kw_only=True)
class ReLora(AdapterMethod):
    """At a knot the share ``prune`` of both moments' entries, those where the first is least in magnitude, is set to
    zero and Adam's step count goes on (Lialin et al. 2023, arXiv 2307.05695); the step size then rises over
    ``warmup`` steps. `prune_moments` says why one mask serves both.
    """

    length: int = 4
    prune: float = 0.9
    warmup: int = 10
    name: ClassVar[str] = "relora"

    def schedule(self, steps: int) -> Schedule:
        return Schedule(length=self.length)

    def init(self, problem: Problem, steps: int, seeds: Sequence[int]) -> AdapterState:
        if not 0 <= self.prune <= 1 or self.warmup < 0:
            raise ColaError(
                f"ReLoRA was asked to prune {self.prune} and warm up for {self.warmup} steps; expected a share from "
                "0 to 1 and at least 0 steps."
            )
        return super().init(problem, steps, seeds)

    def forget(self, state: AdapterState) -> None:
        for moments in state.optimizer.state.values():
            prune_moments(moments, self.prune, batch=1)

    def warmth(self, state: AdapterState) -> float:
        return min(1.0, (state.steps_of_link + 1) / (self.warmup + 1)) if state.link else 1.0
