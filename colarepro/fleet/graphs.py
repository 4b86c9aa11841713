"""CUDA graphs of a step: a small model's kernels are done before the next can be launched one by one."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from colarepro.fleet.packed import Shape

SEEN = 2
"""Steps of one shape before it is recorded; fewer do not pay."""


@dataclass
class _Recorded:
    plan: Tensor
    number: Tensor
    losses: Tensor
    forward: torch.cuda.CUDAGraph
    backward: torch.cuda.CUDAGraph


class Steps:
    """Runs a step's two halves; on a GPU, shapes that come again are recorded and replayed.

    ``forward`` makes the runs' losses of a plan on the device; ``backward`` takes them and the step's number, int64
    (1,), and updates. Both must leave all else in place, since a recorded step reads and writes where it did before.
    """

    def __init__(
        self, forward: Callable[[Tensor, Shape], Tensor], backward: Callable[[Tensor, Tensor], None], device: str
    ) -> None:
        self._forward, self._backward, self._device = forward, backward, device
        self._seen: Counter[Shape] = Counter()
        self._recorded: dict[Shape, _Recorded] = {}
        self._pool = torch.cuda.graph_pool_handle() if device.startswith("cuda") else None
        self._pending: Callable[[], None] = lambda: None

    def forward(self, plan: np.ndarray, shape: Shape, number: int) -> list[float]:
        """Every run's loss."""
        host, count = torch.from_numpy(plan), torch.tensor([number])
        if self._pool is None:
            losses = self._forward(host, shape)
            self._pending = lambda: self._backward(losses, count)
            return losses.tolist()
        self._seen[shape] += 1
        recorded = self._recorded.get(shape)
        if recorded is None and self._seen[shape] > SEEN:
            recorded = self._recorded[shape] = self._record(host, shape)
        if recorded is not None:
            recorded.plan.copy_(host.pin_memory(), non_blocking=True)
            recorded.number.copy_(count)
            recorded.forward.replay()
            self._pending = recorded.backward.replay
            return recorded.losses.tolist()
        losses = self._forward(host.to(self._device), shape)
        self._pending = lambda: self._backward(losses, count.to(self._device))
        return losses.tolist()

    def backward(self) -> None:
        """Update by the losses of the last `forward`."""
        self._pending()

    def _record(self, host: Tensor, shape: Shape) -> _Recorded:
        plan = host.to(self._device)
        number = torch.zeros(1, dtype=torch.int64, device=self._device)
        forward, backward = torch.cuda.CUDAGraph(), torch.cuda.CUDAGraph()
        # Steps do not overlap and hand on nothing but the adapters, so all graphs may share their memory.
        with torch.cuda.graph(forward, pool=self._pool):
            losses = self._forward(plan, shape)
        with torch.cuda.graph(backward, pool=self._pool):
            self._backward(losses, number)
        return _Recorded(plan, number, losses.detach(), forward, backward)
