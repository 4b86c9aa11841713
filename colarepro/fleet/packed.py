"""Prompts end to end in one row, so that no product computes padding."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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
    """At least the length of every prompt."""
    fillers: int
    """Pieces of at most ``longest`` that what fills up is cut into, some of them empty."""


@dataclass(frozen=True)
class Packed:
    """A batch of prompts, one after another in a single row, those of a run together and the runs in order.

    Tensors lie on the model's device, int64 unless said otherwise.
    """

    shape: Shape
    ids: Tensor
    """Token ids, (1, tokens)."""
    positions: Tensor
    """Place of each token in its prompt, (1, tokens)."""
    bounds: Tensor
    """Where each prompt begins, then each filler, and where the last one ends: int32 (prompts + fillers + 1,)."""
    reach: Tensor
    """As long as the longest prompt may be, (longest,), of no matter what: a compiled layer takes a number for fixed,
    but not a size."""
    ends: Tensor
    """Where each run's tokens end, int32 (runs,); what fills up counts as the last run's."""
    last: Tensor
    """Where each prompt ends, (prompts,)."""
    runs: Tensor
    """Index of the run that each prompt belongs to, (prompts,)."""
    labels: Tensor
    """Index of each prompt's right candidate, (prompts,)."""


_current: Packed | None = None


@contextmanager
def packed_batch(packed: Packed) -> Iterator[Packed]:
    """Within the block, layers that know of packing see this batch, also in their backward pass."""
    global _current
    before, _current = _current, packed
    try:
        yield packed
    finally:
        _current = before


def current() -> Packed:
    """The batch that the model is computing."""
    assert _current is not None, "a packed model computes inside `packed_batch` only"
    return _current


class Pool:
    """All prompts of a fleet on the device, to pick batches from without a loop over examples."""

    def __init__(self, prompts: Sequence[Sequence[int]], labels: Sequence[int], runs: int, device: str) -> None:
        self.lengths = np.array([len(prompt) for prompt in prompts])
        self.labels = np.array(labels)
        self._starts = np.concatenate([[0], np.cumsum(self.lengths)[:-1]])
        self._tokens = torch.tensor([token for prompt in prompts for token in prompt], device=device)
        self._runs = runs

    def some_tokens(self, count: int) -> list[int]:
        """Tokens of the prompts, all different if there are as many."""
        distinct = self._tokens.unique().tolist()
        return [distinct[place % len(distinct)] for place in range(count)]

    def shape(self, prompts: np.ndarray, fill: int = 1, longest: int = 0) -> Shape:
        """Of a batch of these prompts, its tokens filled up to a multiple of ``fill``."""
        lengths = self.lengths[prompts]
        longest = max(longest, int(lengths.max()))
        return Shape(_up(int(lengths.sum()), fill), len(prompts), longest, _up(fill - 1, longest) // longest)

    def plan(self, prompts: np.ndarray, runs: np.ndarray, shape: Shape) -> np.ndarray:
        """All indices of a batch in one array, so that one transfer brings them to the device: int64.

        ``prompts`` are indices of prompts, int64 (prompts,), the i-th of them for run ``runs[i]``, which must not fall.
        """
        lengths = self.lengths[prompts]
        ends = np.cumsum(lengths)
        total = int(ends[-1])
        places, positions = np.zeros((2, shape.tokens), dtype=np.int64)
        positions[:total] = np.arange(total) - np.repeat(ends - lengths, lengths)
        places[:total] = np.repeat(self._starts[prompts], lengths) + positions[:total]
        by_run = np.concatenate([[0], ends])[np.searchsorted(runs, np.arange(self._runs), side="right")]
        by_run[-1] = shape.tokens
        fillers = np.minimum(total + shape.longest * np.arange(1, shape.fillers + 1), shape.tokens)
        return np.concatenate(
            [places, positions, [0], ends, fillers, by_run, ends - 1, runs, self.labels[prompts]], dtype=np.int64
        )

    def packed(self, plan: Tensor, shape: Shape) -> Packed:
        """The batch that a plan on the device describes."""
        tokens, prompts = shape.tokens, shape.prompts
        sizes = [tokens, tokens, prompts + shape.fillers + 1, self._runs, prompts, prompts, prompts]
        places, positions, bounds, ends, last, runs, labels = plan.split(sizes)
        ids = self._tokens[places].unsqueeze(0)
        reach = self._tokens.new_empty(shape.longest)
        return Packed(shape, ids, positions.unsqueeze(0), bounds.int(), reach, ends.int(), last, runs, labels)


def step_of(tokens: int) -> int:
    """A multiple to fill so many tokens up to, so that few sizes occur: 16 or more, a sixteenth of them at most."""
    return max(16, 2 ** (tokens.bit_length() - 5))


def _up(number: int, step: int) -> int:
    return -(-number // step) * step
