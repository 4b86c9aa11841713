"""The contract of a method, and the one loop that runs any method on any problem."""

import dataclasses
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

from torch import Tensor

from colarepro.errors import ColaError
from colarepro.theory.problem import Problem, check_radius
from colarepro.theory.trace import Status, Trace

EXPLOSION = 1e8  # a gradient this many times the first one's norm does not come back


@dataclass(kw_only=True)
class State:
    """What any method carries from step to step; each method adds its own.

    ``gradients`` and ``lmo_calls`` count the oracle calls so far; the norms are those of the first and of the
    last gradient that a step has seen.
    """

    gradients: int = 0
    lmo_calls: int = 0
    first_gradient_norm: float = math.nan
    last_gradient_norm: float = math.nan

    def saw(self, gradient: Tensor) -> None:
        """Count one gradient evaluation and remember the gradient's norm."""
        self.last_gradient_norm = float(gradient.norm())
        if self.gradients == 0:
            self.first_gradient_norm = self.last_gradient_norm
        self.gradients += 1


S = TypeVar("S", bound=State)


class Method(ABC, Generic[S]):
    """An iterative solver, as a frozen dataclass of JSON-plain fields: ``init``, ``step``, ``terminate``,
    ``postprocess``.

    A step evaluates the training gradient exactly once, so equal steps are equal budgets across methods.
    """

    name: ClassVar[str]

    @abstractmethod
    def init(self, problem: Problem, steps: int, seed: int) -> S:
        """The state before the first of ``steps`` steps; raises `ColaError` for options that do not fit."""

    @abstractmethod
    def step(self, problem: Problem, state: S) -> S:
        """The state after one more step; it may be the same object, changed."""

    def terminate(self, problem: Problem, state: S) -> Status | None:
        """Why to stop now, or None to go on; here: divergence."""
        norm = state.last_gradient_norm
        if state.gradients and not norm <= EXPLOSION * state.first_gradient_norm:
            return Status.DIVERGED
        return None

    @abstractmethod
    def postprocess(self, problem: Problem, state: S) -> Tensor:
        """The weight (m, n) that the state stands for."""

    def config(self) -> dict[str, Any]:
        """Name and options, JSON-plain."""
        assert dataclasses.is_dataclass(self)
        return {"name": self.name, **dataclasses.asdict(self)}


@dataclass(frozen=True)
class Solution:
    """How a run ended: the last weight (m, n), a status, and everything measured on the way."""

    weight: Tensor
    status: Status
    trace: Trace


def minimize(
    problem: Problem,
    method: Method[Any],
    *,
    steps: int,
    seed: int = 0,
    every: int = 1,
    radius: float | None = None,
    gap_tolerance: float | None = None,
    seconds: float | None = None,
    on_step: Callable[[], None] | None = None,
) -> Solution:
    """Run a method for ``steps`` gradient evaluations and measure every ``every`` steps and at both ends.

    ``radius`` sets the nuclear-norm ball on which the Frank-Wolfe gap is measured; the run stops early once
    that gap is at most ``gap_tolerance`` at a measurement, or after ``seconds`` of stepping. Measuring costs
    no budget and no time. Divergence ends the run with its trace kept. Raises `ColaError` for bad options
    before any step.
    """
    if steps < 1 or every < 1:
        raise ColaError(f"A run of {steps} steps measured every {every} was asked for; expected 1 or more of both.")
    if radius is not None:
        check_radius(radius)
    if gap_tolerance is not None and radius is None:
        raise ColaError("A stop by the Frank-Wolfe gap needs a radius, which defines the gap.")
    trace, status, spent = Trace(), None, 0.0
    state = method.init(problem, steps, seed)
    for index in range(steps + 1):
        if index % every == 0 or index == steps:
            gap = trace.measure(problem, method.postprocess(problem, state), index, state, spent, radius)
            if not math.isfinite(trace.loss[-1]):
                status = Status.DIVERGED
            elif gap_tolerance is not None and gap <= gap_tolerance:
                status = Status.CONVERGED
        if status is None and seconds is not None and spent >= seconds:
            status = Status.TIMED_OUT
        if status is not None or index == steps:
            break
        began = time.perf_counter()
        state = method.step(problem, state)
        spent += time.perf_counter() - began
        status = method.terminate(problem, state)
        if on_step is not None:
            on_step()
    weight = method.postprocess(problem, state)
    if trace.step[-1] != index:
        trace.measure(problem, weight, index, state, spent, radius)
    return Solution(weight, status or Status.DONE, trace)
