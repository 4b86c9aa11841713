"""Full fine-tuning: every entry of W is trained."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from colarepro.theory.method import Method
from colarepro.theory.methods.descent import Descent, GradientDescent, apply
from colarepro.theory.problem import Problem
from colarepro.theory.state import State


@dataclass(kw_only=True)
class FullState(State):
    weight: nn.Parameter
    optimizer: torch.optim.Optimizer


@dataclass(frozen=True)
class Full(Method[FullState]):
    """Gradient descent or AdamW on W itself."""

    descent: Descent = field(default_factory=GradientDescent)
    name: ClassVar[str] = "full"

    def init(self, problem: Problem, steps: int, seeds: Sequence[int]) -> FullState:
        weight = nn.Parameter(problem.start.clone())
        return FullState(weight=weight, optimizer=self.descent.optimizer([weight]))

    def step(self, problem: Problem, state: FullState) -> FullState:
        gradient = problem.gradient(state.weight.detach())
        state.saw(gradient, problem.gradient_flops)
        apply(self.descent, state.optimizer, [state.weight], [gradient], problem.smoothness)
        return state

    def postprocess(self, problem: Problem, state: FullState) -> Tensor:
        return state.weight.detach().clone()

    def config(self) -> dict[str, Any]:
        return {**super().config(), "optimizer": self.descent.kind}
