"""Frank-Wolfe over the nuclear-norm ball round the start, in which Theorem 4.1 sees an idealised COLA."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from colarepro.theory.lmo import Atom, nuclear_ball_lmo
from colarepro.theory.method import Method, State
from colarepro.theory.problem import Problem, check_radius
from colarepro.theory.steps import Situation, step_rule


@dataclass(kw_only=True)
class FrankWolfeState(State):
    """``gap`` is the Frank-Wolfe gap that the last step saw, at the weight it started from."""

    update: Tensor
    steps: int
    start_excess: float
    atom: Atom | None = None
    gap: float = float("inf")


@dataclass(frozen=True, kw_only=True)
class FrankWolfe(Method[FrankWolfeState]):
    """update <- update + eta (V - update), V the oracle's atom and eta from ``rule`` (see `steps`).

    ``tolerance`` is the oracle's (0: dense SVD).
    """

    radius: float
    rule: str = "open-loop"
    tolerance: float = 0.0
    name: ClassVar[str] = "frank-wolfe"

    def init(self, problem: Problem, steps: int, seed: int) -> FrankWolfeState:
        check_radius(self.radius)
        step_rule(self.rule)
        best = problem.best_in_ball(self.radius)
        floor = problem.best_value if best is None else best.value
        start_excess = problem.loss(problem.start) - floor
        return FrankWolfeState(update=torch.zeros_like(problem.start), steps=steps, start_excess=start_excess)

    def step(self, problem: Problem, state: FrankWolfeState) -> FrankWolfeState:
        gradient = problem.gradient(problem.start + state.update)
        index = state.gradients
        state.saw(gradient)
        state.atom = nuclear_ball_lmo(gradient, self.radius, self.tolerance, state.atom)
        state.lmo_calls += 1
        direction = state.atom.matrix() - state.update
        state.gap = -float((gradient * direction).sum())
        situation = Situation(
            index=index,
            steps=state.steps,
            gap=state.gap,
            squared_length=float(direction.square().sum()),
            smoothness=problem.smoothness,
            diameter=2 * self.radius,
            start_excess=state.start_excess,
            curvature=lambda: problem.curvature(direction),
        )
        state.update = state.update + step_rule(self.rule)(situation) * direction
        return state

    def postprocess(self, problem: Problem, state: FrankWolfeState) -> Tensor:
        return problem.start + state.update
