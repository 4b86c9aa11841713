"""The adapters of all runs, and the layers that compute with them."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from colarepro.chain.links import seeded
from colarepro.chain.moments import prune_moments
from colarepro.fleet.arm import Arm
from colarepro.fleet.group import UnfitError
from colarepro.fleet.grouped import grouped_linear, grouped_product, over_tokens
from colarepro.fleet.stack import Stack

ROWS = 8
"""A run's rows come in multiples of it, as grouped products need."""


class Adapters(Stack):
    """A run's numbers are a matrix: its links' rows one below the other, columns all layers' A, then all layers' B
    (transposed).

    Past links stay as frozen factors, which equals merging them but for the rounding of a merged weight in a narrow
    dtype, and links to come have their A already, and a B of
    zero. A knot changes which rows are trained, and nothing else.
    """

    def __init__(self, arms: Sequence[Arm], model: Any, device: str, dtype: torch.dtype) -> None:
        rows = -(-max(arm.rows for arm in arms) // ROWS) * ROWS
        layers = [model.get_submodule(name) for name in arms[0].targets]
        refuse_unfit(layers, model.get_output_embeddings(), dtype)
        self._shapes = [_shape(layer) for layer in layers]
        self._inputs = sum(inputs for inputs, _ in self._shapes)
        columns = self._inputs + sum(outputs for _, outputs in self._shapes)
        super().__init__(arms, rows * columns, device, dtype)
        matrices = len(arms), rows, columns
        self._values, self._computed, self._gradients, self._first, self._second = (
            whole[:, : rows * columns].view(matrices)
            for whole in (self.values, self.computed, self.gradients, self.first, self.second)
        )
        self._untrained = torch.ones(len(arms), rows, columns, dtype=torch.bool, device=device)
        self._scales = torch.zeros(len(arms), rows, 1, device=device)
        first_A, first_B = 0, self._inputs
        for name, layer, (inputs, outputs) in zip(arms[0].targets, layers, self._shapes, strict=True):
            parent, _, own = name.rpartition(".")
            A = self.leaf(first_A, (rows, inputs), (columns, 1))
            B = self.leaf(first_B, (rows, outputs), (columns, 1))
            setattr(model.get_submodule(parent), own, FleetLayer(layer, A, B))
            first_A, first_B = first_A + inputs, first_B + outputs
        for run, arm in enumerate(arms):
            for link in range(len(arm.ranks)):
                self._scales[run, self._rows(run, link)] = arm.scaling(link)
                self._values[run, self._rows(run, link), : self._inputs] = self._draw(arm, link).to(device)
            self.begin(run, 0)
        self.round()

    def round(self) -> None:
        super().round()
        self._computed[:, :, self._inputs :].mul_(self._scales)

    def backward(self, loss: Tensor) -> None:
        super().backward(loss)
        self._gradients[:, :, self._inputs :].mul_(self._scales)
        self._gradients.masked_fill_(self._untrained, 0.0)

    def begin(self, run: int, link: int) -> None:
        rows = self._rows(run, link)
        self._untrained[run] = True
        self._untrained[run, rows, self._inputs :] = False
        self._untrained[run, rows, : self._inputs] = not self.arms[run].trains_A

    def tie(self, run: int, link: int) -> None:
        before, now = self._rows(run, link - 1), self._rows(run, link)
        self.begin(run, link)
        moments = self._pruned(run, before) if self.arms[run].schedule.reset == "prune" else None
        super().tie(run, link)
        if moments is not None:
            self._first[run, now], self._second[run, now] = moments

    def _rows(self, run: int, link: int) -> slice:
        """A link's rows; where nothing is folded the first link goes on."""
        ranks, link = self.arms[run].ranks, 0 if self.arms[run].schedule.fold == "none" else link
        return slice(sum(ranks[:link]), sum(ranks[: link + 1]))

    def _draw(self, arm: Arm, link: int) -> Tensor:
        """A of a link, (rank, columns of A), drawn as PEFT does by the seed and the link alone."""
        # With the same A for every link, a later one takes the leading rows of the first one's draw.
        drawn = 0 if arm.schedule.initialization == "same" else link
        parts = []
        with seeded(arm.config.seed, drawn):
            for inputs, _ in self._shapes:
                parts.append(torch.empty(arm.ranks[drawn], inputs))
                if arm.config.adapter.initialization == "kaiming":
                    nn.init.kaiming_uniform_(parts[-1], a=math.sqrt(5))
                else:
                    nn.init.normal_(parts[-1], std=1 / arm.ranks[drawn])
        return torch.cat([part[: arm.ranks[link]] for part in parts], dim=1)

    def _pruned(self, run: int, rows: slice) -> tuple[Tensor, Tensor]:
        """ReLoRA: the moments that the next link begins with, pruned in every factor by itself."""
        widths = [inputs for inputs, _ in self._shapes] + [outputs for _, outputs in self._shapes]
        parts = [self._first[run, rows].split(widths, dim=1), self._second[run, rows].split(widths, dim=1)]
        pruned = []
        for first, second in zip(*parts, strict=True):
            moments = {"exp_avg": first.clone(), "exp_avg_sq": second.clone()}
            prune_moments(moments, self.arms[run].schedule.prune)
            pruned.append((moments["exp_avg"], moments["exp_avg_sq"]))
        first, second = (torch.cat(each, dim=1) for each in zip(*pruned, strict=True))
        return first, second


class FleetLayer(nn.Module):
    """A frozen layer with every run's adapter beside it: (1, tokens, in) to (1, tokens, out), or both without the one.

    A is (runs, rank, in), B is (runs, rank, out); every token meets its own run's alone.
    """

    def __init__(self, base: nn.Module, A: Tensor, B: Tensor) -> None:
        super().__init__()
        self.base, self.A, self.B = base, A, B

    def forward(self, x: Tensor) -> Tensor:
        inner = over_tokens(grouped_linear, x.to(self.A.dtype), self.A)
        return self.base(x) + over_tokens(grouped_product, inner, self.B)


def refuse_unfit(layers: Sequence[nn.Module], head: nn.Module | None, dtype: torch.dtype) -> None:
    """Raises `UnfitError` for a layer that is not fed every token, or whose sizes grouped products cannot take."""
    unit = 128 // torch.finfo(dtype).bits  # of 16 bytes
    for layer in layers:
        if type(layer) not in (nn.Linear, Conv1D) or layer is head:
            raise UnfitError(f"A {type(layer).__name__} that is adapted is not fed every token; such runs sail alone.")
        if any(size % unit for size in _shape(layer)):
            raise UnfitError(f"An adapted layer is {_shape(layer)}; a fleet's sizes are multiples of {unit}.")


def _shape(layer: Any) -> tuple[int, int]:
    """(in, out), also of GPT-2's Conv1D, which keeps its weight as (in, out)."""
    if hasattr(layer, "in_features"):
        return layer.in_features, layer.out_features
    return tuple(layer.weight.shape)
