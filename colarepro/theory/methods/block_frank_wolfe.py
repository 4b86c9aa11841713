"""Block Frank-Wolfe: a rank-r atom a step instead of a rank-one atom."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from colarepro.errors import ColaError
from colarepro.theory.methods.frank_wolfe import FrankWolfe, FrankWolfeState
from colarepro.theory.problem import Problem, check_rank
from colarepro.theory.spectral import project_nuclear_ball, tamed
from colarepro.theory.state import svd_flops


@dataclass(frozen=True, kw_only=True)
class BlockFrankWolfe(FrankWolfe):
    """V minimises <G, V> + (L eta / 2) |V - W|^2 over the ball and over rank at most ``rank``; W <- W + eta (V - W).

    Allen-Zhu et al. (2017), "Linear convergence of a Frank-Wolfe type algorithm over trace-norm balls": with
    rank at least that of the optimum and strong convexity it converges linearly. ``block_step`` is the eta
    inside V; the step along V - W comes from ``rule``.
    """

    rule: str = "short"
    rank: int = 2
    block_step: float = 0.5
    name: ClassVar[str] = "block-frank-wolfe"

    def init(self, problem: Problem, steps: int, seeds: Sequence[int]) -> FrankWolfeState:
        check_rank(self.rank, problem.shape)
        if not 0 < self.block_step <= 1:
            raise ColaError(f"The block step is {self.block_step}; expected above 0 and at most 1.")
        return super().init(problem, steps, seeds)

    def vertex(self, problem: Problem, state: FrankWolfeState, gradient: Tensor) -> Tensor:
        state.lmo_calls += 1
        state.svds += 1
        state.flops += svd_flops(problem.shape)
        target = state.update - gradient / (problem.smoothness * self.block_step)[:, None, None]
        return project_nuclear_ball(tamed(target), self.radius, self.rank)
