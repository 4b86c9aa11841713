"""The adapters of all runs as one matrix, and the layers that compute with them."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from colarepro.chain.links import seeded
from colarepro.chain.moments import prune_moments
from colarepro.fleet.arm import Arm

LARGEST = 1e30
"""Beyond this a value is lost: what it is multiplied by overflows."""


class Adapters:
    """Rows are the runs' links, ``rows_each`` a run; columns are all layers' A, then all layers' B (transposed).

    A run's past links stay in its rows as frozen factors, which equals merging them; its current link comes after
    them, and unused rows are zero. A layer computes with all rows at once and then drops, for every token, what is
    not its own run's: no product is split, and a knot changes no shape.

    ``values``, ``gradients`` and Adam's ``first`` and ``second`` moments are float32 (runs x rows_each, columns).
    """

    def __init__(self, arms: Sequence[Arm], model: nn.Module, device: str, dtype: torch.dtype) -> None:
        self.arms = arms
        self.rows_each = max(arm.rows for arm in arms)
        layers = [model.get_submodule(name) for name in arms[0].targets]
        self._shapes = [_shape(layer) for layer in layers]
        self.columns_A = sum(inputs for inputs, _ in self._shapes)
        columns = self.columns_A + sum(outputs for _, outputs in self._shapes)
        rows = len(arms) * self.rows_each
        self.values = torch.zeros(rows, columns, device=device)
        self.gradients = torch.zeros(rows, columns, device=device)
        self.first, self.second = torch.zeros_like(self.values), torch.zeros_like(self.values)
        self.trained = torch.zeros(rows, columns, dtype=torch.bool, device=device)
        """What the current links train."""
        self._links = [0] * len(arms)
        self._scales = torch.zeros(len(arms) + 1, rows, device=device, dtype=dtype)
        """Of every run; what fills up a batch belongs to none."""
        # In a narrow dtype the layers compute with a rounded copy, as autocast would make one in every product.
        self._computed = self.values if dtype == torch.float32 else torch.zeros_like(self.values, dtype=dtype)
        self._computed_gradients = self.gradients if dtype == torch.float32 else torch.zeros_like(self._computed)
        self.lost = torch.zeros(len(arms), dtype=torch.bool, device=device)
        """Runs whose values went out of all bounds; theirs are zero now, and their losses are no numbers."""
        self.selection: Tensor = torch.empty(0)
        """Per token and row the scaling if the row is the token's run's, else zero."""
        first_A, first_B = 0, self.columns_A
        for name, (inputs, outputs) in zip(arms[0].targets, self._shapes, strict=True):
            parent, _, own = name.rpartition(".")
            A, B = slice(first_A, first_A + inputs), slice(first_B, first_B + outputs)
            setattr(model.get_submodule(parent), own, FleetLayer(model.get_submodule(name), self, A, B))
            first_A, first_B = first_A + inputs, first_B + outputs
        for run in range(len(arms)):
            self._draw(run)
            self._open(run)
        self.round()

    def select(self, owners: Tensor) -> None:
        """Prepare for a batch whose tokens belong to these runs, int64 (tokens,)."""
        self.selection = self._scales.index_select(0, owners)

    def collect_gradients(self) -> None:
        """Bring what the backward pass left into ``gradients``, zero where nothing is trained."""
        if self._computed_gradients is not self.gradients:
            self.gradients.copy_(self._computed_gradients)
        self.gradients.masked_fill_(~self.trained, 0.0)

    def contain(self) -> None:
        """Zero the runs that are lost: zero times infinity is not zero, so they would reach the others."""
        by_run = self.values.view(len(self.arms), -1)
        self.lost |= ~(by_run.abs() <= LARGEST).all(dim=1)  # not a number is not within either
        by_run.masked_fill_(self.lost.unsqueeze(1), 0.0)

    def part(self, columns: slice) -> tuple[Tensor, Tensor]:
        """These columns of what the layers compute with, and of its gradient."""
        return self._computed[:, columns], self._computed_gradients[:, columns]

    def round(self) -> None:
        """Let the layers see the values as they are now."""
        if self._computed is not self.values:
            self._computed.copy_(self.values)

    def rows(self, run: int) -> slice:
        """A run's rows."""
        return slice(run * self.rows_each, (run + 1) * self.rows_each)

    def trained_now(self, run: int) -> int:
        """Number of weights that a run's current link trains."""
        arm = self.arms[run]
        columns = self.values.shape[1] - (0 if arm.trains_A else self.columns_A)
        return arm.ranks[self._links[run]] * columns

    def tie(self, run: int) -> None:
        """A run's knot: its link is frozen where it stands, and the next begins."""
        arm, rows = self.arms[run], self.rows(run)
        before = self._active(run)
        if arm.schedule.fold != "none":
            self._links[run] += 1
            self._draw(run)
            self._open(run)
        if arm.schedule.reset == "prune":
            self._hand_on_moments(run, before)
        else:
            self.first[rows] = 0
            self.second[rows] = 0

    def state(self) -> dict[str, Tensor]:
        """All that `restore` needs besides the links' numbers."""
        return {"values": self.values, "first": self.first, "second": self.second, "lost": self.lost}

    def restore(self, tensors: dict[str, Tensor], links: Sequence[int]) -> None:
        """Take up what `state` gave while these links were training."""
        for name, tensor in self.state().items():
            tensor.copy_(tensors[name])
        for run, link in enumerate(links):
            for number in range(1, link + 1):
                if self.arms[run].schedule.fold != "none":
                    self._links[run] = number
                    self._open(run)
        self.round()

    def _open(self, run: int) -> None:
        """Let a run's current link be computed and trained, and nothing else of the run be trained."""
        arm, active = self.arms[run], self._active(run)
        self.trained[self.rows(run)] = False
        self.trained[active, self.columns_A :] = True
        self.trained[active, : self.columns_A] = arm.trains_A
        self._scales[run, active] = arm.scaling(self._links[run])

    def _draw(self, run: int) -> None:
        """A of a run's current link, drawn as PEFT does by the seed and the link alone; its B is zero already."""
        arm, rows, link = self.arms[run], self._active(run), self._links[run]
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
        A = torch.cat([part[: arm.ranks[link]] for part in parts], dim=1)
        self.values[rows, : self.columns_A] = A.to(self.values.device)

    def _active(self, run: int) -> slice:
        """Rows of a run's current link."""
        ranks, link = self.arms[run].ranks, self._links[run]
        start = run * self.rows_each + sum(ranks[:link])
        return slice(start, start + ranks[link])

    def _hand_on_moments(self, run: int, before: slice) -> None:
        """ReLoRA: the next link begins with the last one's moments, pruned in every factor by itself."""
        now, share = self._active(run), self.arms[run].schedule.prune
        column = 0
        for width in [inputs for inputs, _ in self._shapes] + [outputs for _, outputs in self._shapes]:
            columns = slice(column, column + width)
            moments = {
                "exp_avg": self.first[before, columns].clone(),
                "exp_avg_sq": self.second[before, columns].clone(),
            }
            prune_moments(moments, share)
            self.first[now, columns], self.second[now, columns] = moments["exp_avg"], moments["exp_avg_sq"]
            column += width
        self.first[before] = 0
        self.second[before] = 0


class FleetLayer(nn.Module):
    """A frozen layer with every run's adapter beside it: (1, tokens, in) to (1, tokens, out)."""

    def __init__(self, base: nn.Module, adapters: Adapters, columns_A: slice, columns_B: slice) -> None:
        super().__init__()
        self.base = base
        self._adapters = adapters
        self._columns = columns_A, columns_B
        self._anchor = torch.zeros((), requires_grad=True)

    def forward(self, x: Tensor) -> Tensor:
        A, B = (self._adapters.part(columns) for columns in self._columns)
        update = _Update.apply(x[0].to(A[0].dtype), self._adapters.selection, A, B, self._anchor)
        return self.base(x) + update


class _Update(torch.autograd.Function):
    """(x A^T * selection) B, whose gradients for A and B are written where they belong, without a copy each."""

    @staticmethod
    def forward(
        context: Any, x: Tensor, selection: Tensor, A: tuple[Tensor, Tensor], B: tuple[Tensor, Tensor], anchor: Tensor
    ) -> Tensor:
        # The anchor makes autograd come back here also from the lowest layer, whose input needs no gradient.
        inner = _only(linear(x, A[0]), selection)
        context.save_for_backward(x, inner, selection)
        context.parts = A, B
        return inner @ B[0]

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, inner, selection = context.saved_tensors
        (A, gradient_A), (B, gradient_B) = context.parts
        gradient = gradient.to(A.dtype)
        within = _only(linear(gradient, B), selection)
        torch.mm(within.T, x, out=gradient_A)
        torch.mm(inner.T, gradient, out=gradient_B)
        return within @ A if context.needs_input_grad[0] else None, None, None, None, None


def _only(products: Tensor, selection: Tensor) -> Tensor:
    """Scaled where selected and zero elsewhere, whatever overflowed there."""
    return (products * selection).masked_fill_(selection == 0, 0.0)


def _shape(layer: Any) -> tuple[int, int]:
    """(in, out), also of GPT-2's Conv1D, which keeps its weight as (in, out)."""
    if hasattr(layer, "in_features"):
        return layer.in_features, layer.out_features
    return tuple(layer.weight.shape)
