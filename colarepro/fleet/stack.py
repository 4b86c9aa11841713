"""What all runs train, as one matrix."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from colarepro.fleet.arm import Arm

ALIGNED = 16
"""Numbers; a run's begin at a multiple of it, as grouped products need."""


class Stack:
    """A row a run. ``values``, ``gradients`` and Adam's ``first`` and ``second`` moments are float32 (runs, width).

    Layers compute with ``leaves``, which are views of a copy of the values in the layers' dtype, as autocast would make
    one in every product. They are no `Parameter`s, whose shapes a compiled layer takes for fixed.
    """

    def __init__(self, arms: Sequence[Arm], width: int, device: str, dtype: torch.dtype) -> None:
        self.arms = arms
        shape = len(arms), -(-width // ALIGNED) * ALIGNED
        self.values, self.gradients, self.first, self.second = (torch.zeros(shape, device=device) for _ in range(4))
        self.computed = torch.zeros(shape, device=device, dtype=dtype)
        self.leaves: list[Tensor] = []
        self._leaf_gradients: list[Tensor] = []

    def leaf(self, start: int, shape: Sequence[int], strides: Sequence[int] = ()) -> Tensor:
        """A tensor (runs, *shape) for a layer, from column ``start`` on, with these ``strides`` or as one block."""
        strides = strides or [math.prod(shape[place + 1 :]) for place in range(len(shape))]

        def view(whole: Tensor) -> Tensor:
            return whole.as_strided((len(whole), *shape), (whole.shape[1], *strides), start)

        self.leaves.append(view(self.computed).requires_grad_())
        self._leaf_gradients.append(view(self.gradients))
        return self.leaves[-1]

    def backward(self, loss: Tensor) -> None:
        """Bring the gradient of ``loss``, a sum over runs, into ``gradients``."""
        found = torch.autograd.grad(loss, self.leaves, allow_unused=True, materialize_grads=True)
        for place, gradient in zip(self._leaf_gradients, found, strict=True):
            place.copy_(gradient)

    def round(self) -> None:
        """Let the layers see the values as they are now."""
        self.computed.copy_(self.values)

    def begin(self, run: int, link: int) -> None:
        """A link of a run begins; its moments are zero already."""

    def tie(self, run: int, link: int) -> None:
        """A run's knot, after which ``link`` trains."""
        self.first[run] = 0
        self.second[run] = 0

    def state(self) -> dict[str, Tensor]:
        """All that makes the next step what it is, but for the links' numbers."""
        return {"values": self.values, "first": self.first, "second": self.second}

    def restore(self, tensors: dict[str, Tensor], links: Sequence[int]) -> None:
        """Take up what `state` gave while these links were training."""
        for name, tensor in self.state().items():
            tensor.copy_(tensors[name])
        for run, link in enumerate(links):
            self.begin(run, link)
        self.round()
