"""Prompts end to end in one row, so that no product computes padding."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Shape:
    """The sizes of a packed batch."""

    tokens: int
    """With what fills the row up."""
    prompts: int
    longest: int


@dataclass(frozen=True)
class Packed:
    """A batch of prompts, one after another in a single row; int64 on the model's device."""

    shape: Shape
    ids: Tensor
    """Token ids, (1, tokens)."""
    positions: Tensor
    """Place of each token in its prompt, (1, tokens)."""
    slots: Tensor
    """Place of each token in a (prompts + 1, longest) rectangle, flattened: (tokens,). What fills up has the first
    place of the last row."""
    owners: Tensor
    """Index of the run that each token belongs to, (tokens,); what fills up belongs to one after the last run."""
    last: Tensor
    """Where each prompt ends, (prompts,)."""
    runs: Tensor
    """Index of the run that each prompt belongs to, (prompts,)."""
    labels: Tensor
    """Index of each prompt's right candidate, (prompts,)."""


class Pool:
    """All prompts of a fleet on the device, to pick batches from without a loop over examples."""

    def __init__(self, prompts: Sequence[Sequence[int]], labels: Sequence[int], runs: int, device: str) -> None:
        self.lengths = np.array([len(prompt) for prompt in prompts])
        self.labels = np.array(labels)
        self._starts = np.concatenate([[0], np.cumsum(self.lengths)[:-1]])
        self._tokens = torch.tensor([token for prompt in prompts for token in prompt], device=device)
        self._runs = runs

    def shape(self, prompts: np.ndarray, tokens_step: int = 1, length_step: int = 1) -> Shape:
        """Of a batch of these prompts, filled up to multiples of the steps."""
        lengths = self.lengths[prompts]
        return Shape(_up(int(lengths.sum()), tokens_step), len(prompts), _up(int(lengths.max()), length_step))

    def plan(self, prompts: np.ndarray, runs: np.ndarray, shape: Shape) -> np.ndarray:
        """All indices of a batch in one array, so that one transfer brings them to the device: int64.

        ``prompts`` are indices of prompts, int64 (prompts,), the i-th of them for run ``runs[i]``.
        """
        lengths = self.lengths[prompts]
        total, ends = int(lengths.sum()), np.cumsum(lengths)
        columns = np.zeros((4, shape.tokens), dtype=np.int64)
        places, positions, slots, owners = columns
        positions[:total] = np.arange(total) - np.repeat(ends - lengths, lengths)
        places[:total] = np.repeat(self._starts[prompts], lengths) + positions[:total]
        slots[:total] = np.repeat(np.arange(len(prompts)) * shape.longest, lengths) + positions[:total]
        slots[total:] = shape.prompts * shape.longest
        owners[:total] = np.repeat(runs, lengths)
        owners[total:] = self._runs
        return np.concatenate([columns.ravel(), ends - 1, runs, self.labels[prompts]])

    def packed(self, plan: Tensor, shape: Shape) -> Packed:
        """The batch that a plan on the device describes."""
        tokens, prompts = shape.tokens, shape.prompts
        places, positions, slots, owners = plan[: 4 * tokens].view(4, tokens)
        last, runs, labels = plan[4 * tokens :].view(3, prompts)
        ids = self._tokens[places].unsqueeze(0)
        return Packed(shape, ids, positions.unsqueeze(0), slots, owners, last, runs, labels)


def _up(number: int, step: int) -> int:
    return -(-number // step) * step
