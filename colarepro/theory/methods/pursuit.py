"""Greedy pursuit: add the best low-rank direction of the gradient, at the best length."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from colarepro.theory.method import Method
from colarepro.theory.problem import Problem, check_rank
from colarepro.theory.spectral import tamed, truncate
from colarepro.theory.state import Answer, State, svd_flops


@dataclass(kw_only=True)
class PursuitState(State):
    update: Tensor
    asked: Tensor | None = None
    direction: Tensor | None = None


@dataclass(frozen=True, kw_only=True)
class Pursuit(Method[PursuitState]):
    """update <- update - eta G_r, with G_r the gradient's ``rank`` leading singular triplets.

    eta minimises a quadratic loss along G_r and is 1 / L elsewhere. No ball and no shrinking: what a chain of
    ideal links does. With rank 1 on a mean of squares this is rank-one matrix pursuit (Wang et al. 2014,
    arXiv 1404.1377) without its refit of earlier weights.
    """

    rank: int = 1
    name: ClassVar[str] = "pursuit"

    def init(self, problem: Problem, steps: int, seeds: Sequence[int]) -> PursuitState:
        check_rank(self.rank, problem.shape)
        return PursuitState(update=torch.zeros_like(problem.start))

    def step(self, problem: Problem, state: PursuitState) -> PursuitState:
        gradient = state.asked = problem.gradient(problem.start + state.update)
        state.saw(gradient, problem.gradient_flops)
        state.svds += 1
        state.flops += svd_flops(problem.shape)
        leading = truncate(tamed(gradient), self.rank)
        state.direction = -leading
        if problem.quadratic:
            slope, bend = (gradient * leading).sum((1, 2)), problem.curvature(leading)
            eta = torch.where(bend > 0, slope / bend, 0)
        else:
            eta = 1 / problem.smoothness
        state.update = state.update - eta[:, None, None] * leading
        return state

    def postprocess(self, problem: Problem, state: PursuitState) -> Tensor:
        return problem.start + state.update

    def answer(self, problem: Problem, state: PursuitState) -> Answer | None:
        return None if state.asked is None or state.direction is None else Answer(state.asked, state.direction)
