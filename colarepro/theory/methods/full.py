"""Full fine-tuning: every entry of W is trained."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from colarepro.theory.method import Method, State
from colarepro.theory.methods.descent import Descent, GradientDescent
from colarepro.theory.problem import Problem


@dataclass(kw_only=True)
class FullState(State):
    weight: nn.Parameter
    optimizer: torch.optim.Optimizer


@dataclass(frozen=True)
class Full(Method[FullState]):
    """Gradient descent or AdamW on W itself."""

    descent: Descent = field(default_factory=GradientDescent)
    name: ClassVar[str] = "full"

    def init(self, problem: Problem, steps: int, seed: int) -> FullState:
        weight = nn.Parameter(problem.start.clone())
        optimizer = self.descent.optimizer([weight])
        if isinstance(self.descent, GradientDescent):
            optimizer.param_groups[0]["lr"] = self.descent.factor / problem.smoothness
        return FullState(weight=weight, optimizer=optimizer)

    def step(self, problem: Problem, state: FullState) -> FullState:
        state.weight.grad = problem.gradient(state.weight.detach())
        state.saw(state.weight.grad)
        state.optimizer.step()
        return state

    def postprocess(self, problem: Problem, state: FullState) -> Tensor:
        return state.weight.detach().clone()

    def config(self) -> dict[str, Any]:
        return {**super().config(), "optimizer": self.descent.kind}
