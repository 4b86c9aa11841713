"""Frank-Wolfe over the nuclear-norm ball round the start, in which Theorem 4.1 sees an idealised COLA."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from colarepro.errors import ColaError
from colarepro.theory.lmo import Atom, nuclear_ball_lmo
from colarepro.theory.method import Method
from colarepro.theory.methods.streams import Streams
from colarepro.theory.problem import Problem, check_radius
from colarepro.theory.spectral import tamed
from colarepro.theory.state import Answer, State, svd_flops
from colarepro.theory.steps import Situation, step_rule


@dataclass(kw_only=True)
class FrankWolfeState(State):
    """``update`` (S, m, n) of the weight; ``start_excess`` (S,) the M of the theorem; ``steps`` (S,) in all; ``gap``
    (S,) that the last step saw, at the weight it started from; ``vertex`` (S, m, n) where it went to;
    ``origin`` the full gradient at the start, where the first step saw it."""

    update: Tensor
    steps: Tensor
    start_excess: Tensor
    estimate: Tensor
    streams: Streams
    index: int = 0
    atom: Atom | None = None
    asked: Tensor | None = None
    vertex: Tensor | None = None
    gap: Tensor | None = None
    origin: Tensor | None = None


@dataclass(frozen=True, kw_only=True)
class FrankWolfe(Method[FrankWolfeState]):
    """update <- update + eta (V - update), V the oracle's atom and eta from ``rule`` (see `steps`).

    ``tolerance`` is the oracle's (0: dense SVD). ``batch`` samples estimate the gradient (0: all), with
    ``growing`` as many times the squared step number, as Hazan & Luo (2016) need for the rate 1/t; once that is
    at least all of them, the gradient is the full one.
    """

    radius: float
    rule: str = "open-loop"
    tolerance: float = 0.0
    batch: int = 0
    growing: bool = False
    name: ClassVar[str] = "frank-wolfe"

    def init(self, problem: Problem, steps: int, seeds: Sequence[int]) -> FrankWolfeState:
        check_radius(self.radius)
        step_rule(self.rule)
        if self.rule == "exact" and not problem.quadratic:
            raise ColaError(f"The problem {problem.name} is not quadratic, so exact line search is not defined on it.")
        if self.batch < 0 or not self.tolerance >= 0:
            raise ColaError(
                f"Frank-Wolfe was given a batch of {self.batch} and an oracle tolerance of {self.tolerance}; expected "
                "both to be at least 0."
            )
        if self.batch and not problem.samples:
            raise ColaError(f"The problem {problem.name} is no mean over samples, so it has no minibatch gradient.")
        best = problem.best_in_ball(self.radius)
        floor = problem.best_value if best is None else best.value
        return FrankWolfeState(
            update=torch.zeros_like(problem.start),
            steps=torch.full((problem.count,), steps, dtype=torch.float64),
            start_excess=problem.loss(problem.start) - floor,
            estimate=problem.smoothness,
            streams=Streams(seeds),
        )

    def step(self, problem: Problem, state: FrankWolfeState) -> FrankWolfeState:
        gradient = state.asked = self._gradient(problem, state)
        vertex = state.vertex = self.vertex(problem, state, gradient)
        direction = vertex - state.update
        state.gap = -(gradient * direction).sum((1, 2))
        situation = Situation(
            index=state.index,
            steps=state.steps,
            gap=state.gap,
            squared_length=direction.square().sum((1, 2)),
            smoothness=problem.smoothness,
            diameter=2 * self.radius,
            start_excess=state.start_excess,
            curvature=lambda: self._curvature(problem, state, direction),
            change=lambda step: (
                problem.excess(problem.start + state.update + step[:, None, None] * direction)
                - problem.excess(problem.start + state.update)
            ),
            estimate=state.estimate,
        )
        eta = step_rule(self.rule)(situation)
        state.estimate = situation.estimate
        state.update = state.update + eta[:, None, None] * direction
        state.index += 1
        return state

    def vertex(self, problem: Problem, state: FrankWolfeState, gradient: Tensor) -> Tensor:
        """The oracle's answer V - start (S, m, n) in the ball."""
        state.lmo_calls += 1
        m, n = problem.shape
        atom = state.atom = nuclear_ball_lmo(tamed(gradient), self.radius, self.tolerance, state.atom)
        state.svds += atom.products == 0
        state.flops += 2 * m * n * atom.products if atom.products else svd_flops(problem.shape)
        return atom.matrix()

    def _curvature(self, problem: Problem, state: FrankWolfeState, direction: Tensor) -> Tensor:
        """Second derivative along V - U. A quadratic's gradients give it without a product of its own: with H its
        Hessian and G, G0 the gradients at U and at zero, H U = G - G0, so all but <V, H V> is known."""
        if state.atom is None or state.origin is None or state.asked is None or state.vertex is None:
            return problem.curvature(direction)
        moved = state.asked - state.origin
        own = self.radius**2 * problem.atom_curvature(state.atom.left, state.atom.right)
        return own + ((state.update - 2 * state.vertex) * moved).sum((1, 2))

    def _gradient(self, problem: Problem, state: FrankWolfeState) -> Tensor:
        weight = problem.start + state.update
        batch = self.batch * (state.index + 1) ** 2 if self.growing else self.batch
        if not batch or batch >= problem.samples:
            gradient = problem.gradient(weight)
            state.saw(gradient, problem.gradient_flops)
            if state.index == 0:
                state.origin = gradient
        else:
            gradient = problem.sampled_gradient(weight, state.streams.rows(problem.samples, batch))
            state.saw(gradient, problem.gradient_flops, batch / problem.samples)
        return gradient

    def postprocess(self, problem: Problem, state: FrankWolfeState) -> Tensor:
        return problem.start + state.update

    def answer(self, problem: Problem, state: FrankWolfeState) -> Answer | None:
        return None if state.asked is None or state.vertex is None else Answer(state.asked, state.vertex)
