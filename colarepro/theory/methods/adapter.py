"""Low-rank adapters of all seeds at once: what LoRA, COLA and their relatives train.

The same computation as PEFT's layer under `colarepro.chain`, in batched products; `ChainedCola` runs that code
itself, seed by seed, and a test holds the two equal.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from colarepro.chain import Schedule
from colarepro.theory.method import Method
from colarepro.theory.methods.descent import Descent, GradientDescent, apply, squared_norm_bound
from colarepro.theory.methods.streams import Streams, check_draw
from colarepro.theory.problem import Problem, check_rank
from colarepro.theory.state import Answer, State


@dataclass(kw_only=True)
class AdapterState(State):
    """``start`` and ``base`` (S, m, n) frozen; ``A`` (S, r, n) and ``B`` (S, m, r); ``knots`` the steps after which a
    link ends;
    ``link`` counts from 0; ``total`` (S, m, n) is the sum of all finished links, ``first_A`` the first link's;
    ``asked`` (S, m, n) is the gradient that the current link began at, ``finished`` the last link as an
    oracle's answer."""

    start: Tensor
    base: Tensor
    A: nn.Parameter
    B: nn.Parameter
    optimizer: torch.optim.Optimizer
    streams: Streams
    knots: tuple[int, ...]
    steps_done: int = 0
    link: int = 0
    total: Tensor
    first_A: Tensor
    asked: Tensor | None = None
    finished: Answer | None = None

    @property
    def steps_of_link(self) -> int:
        """Steps that the current link has done."""
        return self.steps_done - (0, *self.knots)[self.link]

    @property
    def knot_is_due(self) -> bool:
        """Whether the current link has done all its steps and another one follows."""
        return self.link < len(self.knots) and self.steps_done == self.knots[self.link]


@dataclass(frozen=True, kw_only=True)
class AdapterMethod(Method[AdapterState]):
    """Train A (r, n) and B (m, r) in W0 + B A, from A random and B zero, as PEFT starts (with alpha = r).

    ``draw`` is the law of A, see `Streams.draw_A`.
    """

    rank: int = 1
    draw: str = "uniform"
    descent: Descent = field(default_factory=GradientDescent)
    name: ClassVar[str] = "adapter"
    trains_A: ClassVar[bool] = True
    merges: ClassVar[bool] = True  # whether a link begins anew at a knot, from B = 0

    def schedule(self, steps: int) -> Schedule:
        """The chain's schedule in a run of this many steps; here a single link."""
        return Schedule(length=1)

    def tie(self, state: AdapterState) -> None:
        """The knot: merge B A into the weight, begin a new link in place, forget the optimizer's state."""
        update = state.B.detach() @ state.A.detach()
        state.total = state.total + update
        state.base = self.merged(state, update)
        state.A.data = self.next_A(state)
        state.B.data = torch.zeros_like(state.B)
        self.forget(state)

    def merged(self, state: AdapterState, update: Tensor) -> Tensor:
        """The frozen weight after a knot."""
        return state.base + update

    def next_A(self, state: AdapterState) -> Tensor:
        """A new link's A."""
        return state.streams.draw_A(self.draw, self.rank, state.A.shape[2])

    def forget(self, state: AdapterState) -> None:
        """What a knot does to the optimizer."""
        state.optimizer.state.clear()

    def warmth(self, state: AdapterState) -> float:
        """Share of the step size that this step takes."""
        return 1.0

    def init(self, problem: Problem, steps: int, seeds: Sequence[int]) -> AdapterState:
        check_rank(self.rank, problem.shape)
        check_draw(self.draw)
        return self.begin(problem, steps, Streams(seeds))

    def begin(self, problem: Problem, steps: int, streams: Streams) -> AdapterState:
        """`init` with random numbers that somebody else already draws from."""
        m, n = problem.shape
        A = nn.Parameter(streams.draw_A(self.draw, self.rank, n), requires_grad=self.trains_A)
        B = nn.Parameter(torch.zeros(problem.count, m, self.rank, dtype=torch.float64))
        return AdapterState(
            start=problem.start,
            base=problem.start,
            A=A,
            B=B,
            optimizer=self.descent.optimizer([A, B] if self.trains_A else [B]),
            streams=streams,
            knots=self.schedule(steps).resolve(steps).knots,
            total=torch.zeros_like(problem.start),
            first_A=A.detach().clone(),
        )

    def step(self, problem: Problem, state: AdapterState) -> AdapterState:
        A, B = state.A.detach(), state.B.detach()
        gradient = problem.gradient(state.base + B @ A)
        state.saw(gradient, problem.gradient_flops)
        if state.steps_of_link == 0 and (self.merges or state.asked is None):
            state.asked = gradient
        products = 3 if self.trains_A else 2  # B A and a gradient for each factor
        state.flops += products * 2 * problem.shape[0] * problem.shape[1] * self.rank
        if self.trains_A:
            parameters, gradients = [state.A, state.B], [B.mT @ gradient, gradient @ A.mT]
        else:
            parameters, gradients = [state.B], [gradient @ A.mT]
        smoothness = self._smoothness(problem, state)
        apply(self.descent, state.optimizer, parameters, gradients, smoothness, self.warmth(state))
        state.steps_done += 1
        if state.knot_is_due:
            state.finished = self.answer(problem, state)
            self.tie(state)
            state.link += 1
        return state

    def _smoothness(self, problem: Problem, state: AdapterState) -> Tensor:
        if not isinstance(self.descent, GradientDescent) or self.descent.smoothness == "problem":
            return problem.smoothness
        largest = squared_norm_bound(state.A.detach())
        if not self.trains_A:
            return problem.smoothness * largest
        # The Frobenius norm of G stands for its spectral norm: no SVD a step, and it vanishes at the end.
        assert state.last_gradient_norm is not None
        return problem.smoothness * (largest + squared_norm_bound(state.B.detach())) + state.last_gradient_norm

    def postprocess(self, problem: Problem, state: AdapterState) -> Tensor:
        return state.base + state.B.detach() @ state.A.detach()

    def answer(self, problem: Problem, state: AdapterState) -> Answer | None:
        if state.asked is None or (state.link and state.steps_of_link == 0):
            return state.finished  # a new link has not been asked yet
        return Answer(state.asked, state.B.detach() @ state.A.detach())

    def config(self) -> dict[str, Any]:
        return {**super().config(), "optimizer": self.descent.kind}
