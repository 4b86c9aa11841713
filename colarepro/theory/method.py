"""The contract of a method, and the one loop that runs any method on any problem."""

import dataclasses
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

import torch
from torch import Tensor

from colarepro.errors import ColaError
from colarepro.theory.problem import Problem, check_radius
from colarepro.theory.state import Answer, State
from colarepro.theory.trace import Status, Trace

EXPLOSION = 1e8  # a gradient this many times the first one's norm does not come back

S = TypeVar("S", bound=State)


class Method(ABC, Generic[S]):
    """An iterative solver of all seeds at once, as a frozen dataclass of JSON-plain fields: ``init``, ``step``,
    ``terminate``, ``postprocess``.

    A step of a gradient method evaluates the training gradient exactly once, so equal steps are equal budgets;
    where a method takes more or less, ``State.gradients`` says so.
    """

    name: ClassVar[str]

    @abstractmethod
    def init(self, problem: Problem, steps: int, seeds: Sequence[int]) -> S:
        """The state before the first of ``steps`` steps; raises `ColaError` for options that do not fit.

        ``seeds`` give the method's own random numbers, one stream a seed, apart from the problem's.
        """

    @abstractmethod
    def step(self, problem: Problem, state: S) -> S:
        """The state after one more step; it may be the same object, changed."""

    def terminate(self, problem: Problem, state: S) -> Tensor:
        """The seeds (S,) that have diverged."""
        if state.last_gradient_norm is None or state.first_gradient_norm is None:
            return torch.zeros(problem.count, dtype=torch.bool)
        first = torch.where(state.first_gradient_norm > 0, state.first_gradient_norm, torch.inf)
        return ~(state.last_gradient_norm <= EXPLOSION * first) | state.last_gradient_norm.isinf()

    @abstractmethod
    def postprocess(self, problem: Problem, state: S) -> Tensor:
        """The weights (S, m, n) that the state stands for."""

    def answer(self, problem: Problem, state: S) -> Answer | None:
        """The current link as an answer to the linear oracle's question, or None for a method without links."""
        return None

    def config(self) -> dict[str, Any]:
        """Name and options, JSON-plain."""
        assert dataclasses.is_dataclass(self)
        return {"name": self.name, **dataclasses.asdict(self)}


@dataclass(frozen=True)
class Solution:
    """How each seed's run ended: the last measured weights (S, m, n), a status and a step a seed, and the trace."""

    weight: Tensor
    status: list[Status]
    ended_at: list[int]
    trace: Trace


def minimize(
    problem: Problem,
    method: Method[Any],
    *,
    steps: int,
    seeds: Sequence[int] | None = None,
    every: int = 1,
    radius: float | None = None,
    gap_tolerance: float | None = None,
    seconds: float | None = None,
    on_step: Callable[[], None] | None = None,
) -> Solution:
    """Run a method for ``steps`` steps and measure every ``every`` steps and at both ends.

    ``seeds`` (default 0, 1, ...) are the method's, one a run of the problem's batch. ``radius`` sets the
    nuclear-norm ball on which the Frank-Wolfe gap is measured; a seed's run stops early once that gap is at most
    ``gap_tolerance`` at a measurement, all of them after ``seconds`` of stepping. Measuring costs no budget and
    no time. Divergence ends a seed's run with its trace kept; the others go on. Raises `ColaError` for bad
    options before any step.
    """
    if steps < 1 or every < 1:
        raise ColaError(f"A run of {steps} steps measured every {every} was asked for; expected 1 or more of both.")
    seeds = range(problem.count) if seeds is None else seeds
    if len(seeds) != problem.count:
        raise ColaError(f"{len(seeds)} seeds were given for a problem of {problem.count}; expected one each.")
    if radius is not None:
        check_radius(radius)
    if gap_tolerance is not None and radius is None:
        raise ColaError("A stop by the Frank-Wolfe gap needs a radius, which defines the gap.")
    trace, spent, index = Trace(), 0.0, 0
    ended: list[Status | None] = [None] * problem.count
    ended_at = [steps] * problem.count
    live = torch.ones(problem.count, dtype=torch.bool)
    state = method.init(problem, steps, seeds)
    weight = problem.start

    def end(which: Tensor, status: Status) -> None:
        for seed in torch.nonzero(which & live).flatten().tolist():
            ended[seed], ended_at[seed] = status, index
        live.logical_and_(~which)

    for index in range(steps + 1):
        late = seconds is not None and spent >= seconds
        if index % every == 0 or index == steps or late:
            # A seed that has ended keeps the weight of its last measurement; the others move on.
            weight = torch.where(live[:, None, None], method.postprocess(problem, state), weight)
            trace.measure(problem, weight, live.clone(), index, state, method.answer(problem, state), spent, radius)
            end(~torch.isfinite(torch.from_numpy(trace.loss[-1])), Status.DIVERGED)
            if gap_tolerance is not None:
                end(torch.from_numpy(trace.gap[-1]) <= gap_tolerance, Status.CONVERGED)
        if late:
            end(live.clone(), Status.TIMED_OUT)
        if index == steps or not bool(live.any()):
            break
        began = time.perf_counter()
        state = method.step(problem, state)
        spent += time.perf_counter() - began
        end(method.terminate(problem, state), Status.DIVERGED)
        if on_step is not None:
            on_step()
        if not bool(live.any()):
            break
    return Solution(weight, [status or Status.DONE for status in ended], ended_at, trace)
