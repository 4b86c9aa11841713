"""The paper's idealised COLA: Frank-Wolfe whose oracle is a LoRA link."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from colarepro.errors import ColaError
from colarepro.theory.methods.frank_wolfe import FrankWolfe, FrankWolfeState
from colarepro.theory.methods.lora import Lora
from colarepro.theory.problem import Problem, check_rank


@dataclass(frozen=True, kw_only=True)
class IdealizedCola(FrankWolfe):
    """Algorithm 2 of the paper, arXiv 2401.04151, Section 4: V_t comes from training, and W moves by eta (V_t - W).

    A link of ``rank`` is trained from W_t for ``link_steps`` steps of gradient descent on the loss itself; its
    update, scaled to nuclear norm ``radius``, is V_t - start. What it falls short of the exact oracle is the
    additive error epsilon of Theorem 4.1, which the trace measures. A link that did not move (or is not finite)
    leaves V_t = W_t.
    """

    rank: int = 1
    link_steps: int = 10
    name: ClassVar[str] = "idealized-cola"

    def init(self, problem: Problem, steps: int, seeds: Sequence[int]) -> FrankWolfeState:
        check_rank(self.rank, problem.shape)
        if self.link_steps < 1:
            raise ColaError(f"A link of {self.link_steps} steps was asked for; expected at least 1.")
        return super().init(problem, steps, seeds)

    def vertex(self, problem: Problem, state: FrankWolfeState, gradient: Tensor) -> Tensor:
        state.lmo_calls += 1
        link = Lora(rank=self.rank)
        trained = link.begin(problem, self.link_steps, state.streams)
        trained.base = problem.start + state.update
        for _ in range(self.link_steps):
            trained = link.step(problem, trained)
        state.gradients += trained.gradients
        state.flops += trained.flops
        update = trained.B.detach() @ trained.A.detach()
        finite = torch.isfinite(update).flatten(1).all(1)
        size = torch.linalg.svdvals(torch.where(finite[:, None, None], update, 0)).sum(1)
        moved = (finite & (size > 0))[:, None, None]
        return torch.where(moved, self.radius * update / size[:, None, None], state.update)
