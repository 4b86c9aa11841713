"""What all runs train, as one matrix."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from colarepro.fleet.arm import Arm

ALIGNED = 16
"""Numbers; a run's begin at a multiple of it, as grouped products need."""


class Stack:
    """A row a run. ``values``, ``gradients`` and Adam's ``first`` and ``second`` moments are float32 (runs, width), of
    what is being trained.

    Layers compute with ``leaves``, which are views of ``computed``: what `round` makes of the values in the layers'
    dtype, as autocast would make a copy in every product, and ``fixed`` numbers behind it. They are no `Parameter`s,
    whose shapes a compiled layer takes for fixed. ``best`` is the first ``width`` of them when `keep` was called.
    """

    def __init__(self, arms: Sequence[Arm], width: int, device: str, dtype: torch.dtype, fixed: int = 0) -> None:
        self.arms = arms
        trained, every = (-(-each // ALIGNED) * ALIGNED for each in (width, width + fixed))
        self.values, self.gradients, self.first, self.second = (
            torch.zeros(len(arms), trained, device=device) for _ in range(4)
        )
        self.computed, self.best = (
            torch.zeros(len(arms), each, device=device, dtype=dtype) for each in (every, trained)
        )
        self.leaves: list[Tensor] = []
        self._leaf_gradients: list[Tensor] = []

    def leaf(self, start: int, shape: Sequence[int], strides: Sequence[int] = (), trained: int = 0) -> Tensor:
        """A tensor (runs, *shape) for a layer, from column ``start`` on, with these ``strides`` or as one block. Of its
        second dimension the first ``trained`` are trained, or all."""
        strides = strides or [math.prod(shape[place + 1 :]) for place in range(len(shape))]

        def view(whole: Tensor, length: int) -> Tensor:
            return whole.as_strided((len(whole), length, *shape[1:]), (whole.shape[1], *strides), start)

        self.leaves.append(view(self.computed, shape[0]).requires_grad_())
        self._leaf_gradients.append(view(self.gradients, trained or shape[0]))
        return self.leaves[-1]

    def backward(self, loss: Tensor) -> None:
        """Bring the gradient of ``loss``, a sum over runs, into ``gradients``."""
        found = torch.autograd.grad(loss, self.leaves, allow_unused=True, materialize_grads=True)
        for place, gradient in zip(self._leaf_gradients, found, strict=True):
            place.copy_(gradient[:, : place.shape[1]])

    def round(self) -> None:
        """Let the layers see the values as they are now."""
        self.computed.copy_(self.values)

    def begin(self, run: int, link: int) -> None:
        """A link of a run trains from now on."""

    def tie(self, run: int, link: int) -> None:
        """A run's knot, after which ``link`` trains."""
        self.first[run] = 0
        self.second[run] = 0

    def keep(self, run: int) -> None:
        """A run computes best as it does now."""
        self.best[run] = self.computed[run, : self.best.shape[1]]

    def recall(self, run: int, link: int) -> None:
        """Compute as when `keep` was called, while ``link`` was training. Not to be trained after: the values are still
        the last ones."""
        self.computed[run] = self.best[run]

    def state(self) -> dict[str, Tensor]:
        """All that makes the next step what it is, but for the links' numbers, and what was best."""
        names = "values", "first", "second", "computed", "best"
        return {name: getattr(self, name) for name in names}

    def restore(self, tensors: dict[str, Tensor], links: Sequence[int]) -> None:
        """Take up what `state` gave while these links were training."""
        for name, tensor in self.state().items():
            tensor.copy_(tensors[name])
        for run, link in enumerate(links):
            self.begin(run, link)
