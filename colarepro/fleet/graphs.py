"""CUDA graphs of steps: a small model's kernels are done before the next can be launched one by one."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from colarepro.fleet.packed import Shape


class _Recorded(NamedTuple):
    plan: Tensor
    number: Tensor
    graph: torch.cuda.CUDAGraph


class Steps:
    """Runs steps; with ``record``, every shape is recorded when it first comes, and replayed from then on.

    The very first step runs as it is: what is compiled, is compiled then. ``step`` takes a plan on the device, its
    shape, and the step's number, int64 (1,). It must leave everything in place, since a recorded step reads and writes
    where it did before.
    """

    def __init__(self, step: Callable[[Tensor, Shape, Tensor], None], device: str, record: bool) -> None:
        self._step, self._device = step, device
        self._begun = False
        self._recorded: dict[Shape, _Recorded] = {}
        self._pool = torch.cuda.graph_pool_handle() if record else None

    def run(self, plan: np.ndarray, shape: Shape, number: int) -> None:
        """One step, which the device may still be computing on return."""
        host, count = torch.from_numpy(plan), torch.tensor([number])
        if self._pool is None:
            self._step(host.to(self._device), shape, count.to(self._device))
            return
        recorded = self._recorded.get(shape)
        if recorded is None and self._begun:
            recorded = self._record(host, shape)
        self._begun = True
        if recorded is None:
            self._step(host.to(self._device), shape, count.to(self._device))
        else:
            recorded.plan.copy_(host.pin_memory(), non_blocking=True)
            recorded.number.fill_(number)
            recorded.graph.replay()

    def _record(self, host: Tensor, shape: Shape) -> _Recorded | None:
        """None if there is no memory for it; nothing is computed while a step is recorded, so nothing is lost."""
        plan = host.to(self._device)
        number = torch.zeros(1, dtype=torch.int64, device=self._device)
        graph = torch.cuda.CUDAGraph()
        try:
            # Steps do not overlap and hand on nothing but what is trained, so all graphs may share their memory.
            with torch.cuda.graph(graph, pool=self._pool):
                self._step(plan, shape, number)
        except RuntimeError:  # also what ends a recording that went wrong
            self._pool = None
            self._recorded.clear()  # no step is replayed from now on, and memory is short
            torch.cuda.empty_cache()
            return None
        self._recorded[shape] = _Recorded(plan, number, graph)
        return self._recorded[shape]
