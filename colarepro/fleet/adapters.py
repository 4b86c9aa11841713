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
    """A run's numbers are a matrix, columns all layers' A, then all layers' B (transposed), rows those of its links.

    The link that trains has the first rows. Past links stay as frozen factors, which equals merging them but for the
    rounding of a merged weight in a narrow dtype; their numbers are in ``computed`` alone, from its last row upwards,
    each B times its scale. What lies between is zero. A knot moves a link there and starts the next in its place.

    All runs have as many rows, so that beside a LoRA of high rank those of a chain of low ones train but in part.
    """

    def __init__(self, arms: Sequence[Arm], model: Any, device: str, dtype: torch.dtype) -> None:
        rows, trained = rows_of(arms)
        layers = [model.get_submodule(name) for name in arms[0].targets]
        refuse_unfit(layers, model.get_output_embeddings(), dtype)
        self._shapes = [_shape(layer) for layer in layers]
        self._inputs = sum(inputs for inputs, _ in self._shapes)
        columns = self._inputs + sum(outputs for _, outputs in self._shapes)
        super().__init__(arms, trained * columns, device, dtype, fixed=(rows - trained) * columns)
        self._values, self._gradients, self._first, self._second, self._best, self._computed = (
            whole.view(len(arms), -1, columns)
            for whole in (self.values, self.gradients, self.first, self.second, self.best, self.computed)
        )
        self._absent = torch.ones(len(arms), trained, 1, dtype=torch.bool, device=device)
        """Rows that the link that trains does not have; past links' may lie there."""
        self._scales = torch.ones(len(arms), 1, 1, device=device)
        self._frozen_A = torch.tensor([not arm.trains_A for arm in arms], device=device)[:, None, None]
        first_A, first_B = 0, self._inputs
        for name, layer, (inputs, outputs) in zip(arms[0].targets, layers, self._shapes, strict=True):
            parent, _, own = name.rpartition(".")
            A = self.leaf(first_A, (rows, inputs), (columns, 1), trained)
            B = self.leaf(first_B, (rows, outputs), (columns, 1), trained)
            setattr(model.get_submodule(parent), own, FleetLayer(layer, A, B))
            first_A, first_B = first_A + inputs, first_B + outputs
        # On the host, ahead: drawing takes longer than a step.
        self._later = {
            (run, link): self._draw(arm, link) for run, arm in enumerate(arms) for link in range(1, len(arm.ranks))
        }
        for run, arm in enumerate(arms):
            self.begin(run, 0)
            self._start(run, self._draw(arm, 0))

    def round(self) -> None:
        now = self._computed[:, : self._values.shape[1]]
        values = self._values.to(now.dtype, copy=True)
        values[:, :, self._inputs :].mul_(self._scales)
        now.copy_(torch.where(self._absent, now, values))

    def backward(self, loss: Tensor) -> None:
        super().backward(loss)
        self._gradients[:, :, self._inputs :].mul_(self._scales)
        self._gradients.masked_fill_(self._absent, 0.0)
        self._gradients[:, :, : self._inputs].masked_fill_(self._frozen_A, 0.0)

    def begin(self, run: int, link: int) -> None:
        arm, link = self.arms[run], self._link(run, link)
        self._scales[run] = arm.scaling(link)
        self._absent[run] = True
        self._absent[run, : arm.ranks[link]] = False

    def tie(self, run: int, link: int) -> None:
        arm, before, now = self.arms[run], self._link(run, link - 1), self._link(run, link)
        moments = self._pruned(run, arm.ranks[before]) if arm.schedule.reset == "prune" else None
        super().tie(run, link)
        if moments is not None:
            self._first[run, : arm.ranks[now]], self._second[run, : arm.ranks[now]] = moments
        if now != before:
            past, start = self._computed[run, : arm.ranks[before]].clone(), self._past_from(run, now)
            self._computed[run, start : start + len(past)] = past
            self._computed[run, :start] = 0.0
            self._values[run] = 0.0
            self.begin(run, now)
            self._start(run, self._later[run, now])

    def recall(self, run: int, link: int) -> None:
        link = self._link(run, link)
        rank = self.arms[run].ranks[link]
        self._computed[run, : self._past_from(run, link)] = 0.0
        self._computed[run, :rank] = self._best[run, :rank]

    def _start(self, run: int, A: Tensor) -> None:
        """A link's A; its B is zero already."""
        A = A.to(self.values.device)
        for matrix in (self._values, self._computed):
            matrix[run, : len(A), : self._inputs] = A

    def _link(self, run: int, link: int) -> int:
        """Where nothing is folded the first link goes on."""
        return 0 if self.arms[run].schedule.fold == "none" else link

    def _past_from(self, run: int, link: int) -> int:
        """The row from which on past links lie while ``link`` trains."""
        return self._computed.shape[1] - sum(self.arms[run].ranks[:link])

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

    def _pruned(self, run: int, rank: int) -> tuple[Tensor, Tensor]:
        """ReLoRA: the moments that the next link begins with, pruned in every factor by itself."""
        widths = [inputs for inputs, _ in self._shapes] + [outputs for _, outputs in self._shapes]
        parts = [self._first[run, :rank].split(widths, dim=1), self._second[run, :rank].split(widths, dim=1)]
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


def rows_of(arms: Sequence[Arm]) -> tuple[int, int]:
    """Rows of every run in a fleet of these: all, and those that can train."""
    most = max(arm.rows for arm in arms), max(max(arm.ranks) for arm in arms)
    every, trained = (-(-rows // ROWS) * ROWS for rows in most)
    return every, trained


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
