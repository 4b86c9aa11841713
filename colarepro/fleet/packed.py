"""Prompts end to end in one row, so that no product computes padding."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Packed:
    """A batch of prompts, one after another in a single row; int64 on the model's device."""

    ids: Tensor
    """Token ids, (1, tokens)."""
    positions: Tensor
    """Place of each token in its prompt, (1, tokens)."""
    last: Tensor
    """Where each prompt ends, (prompts,)."""
    slots: Tensor
    """Place of each token in a (prompts, longest) rectangle, flattened: (tokens,)."""
    owners: Tensor
    """Index of the run that each token belongs to, (tokens,)."""
    prompts: int
    longest: int


class Pool:
    """All prompts of a fleet on the device, to pick batches from without a loop over examples."""

    def __init__(self, prompts: Sequence[Sequence[int]], device: str) -> None:
        self.lengths = np.array([len(prompt) for prompt in prompts])
        self._starts = np.concatenate([[0], np.cumsum(self.lengths)[:-1]])
        self._tokens = torch.tensor([token for prompt in prompts for token in prompt], device=device)
        self._device = device

    def pick(self, prompts: np.ndarray, runs: np.ndarray) -> Packed:
        """The prompts with these indices (int64, (prompts,)), the i-th of them for run ``runs[i]``."""
        lengths = self.lengths[prompts]
        longest, total = int(lengths.max()), int(lengths.sum())
        ends = np.cumsum(lengths)
        positions = np.arange(total) - np.repeat(ends - lengths, lengths)
        rows = np.repeat(np.arange(len(prompts)), lengths)
        columns = np.stack(
            [np.repeat(self._starts[prompts], lengths) + positions, positions, rows * longest + positions, runs[rows]]
        )
        # One transfer; on a GPU it overlaps with what still runs there.
        host = torch.from_numpy(np.concatenate([columns.ravel(), ends - 1]))
        if self._device != "cpu":
            host = host.pin_memory().to(self._device, non_blocking=True)
        places, positions_, slots, owners = host[: 4 * total].view(4, total)
        return Packed(
            ids=self._tokens[places].unsqueeze(0),
            positions=positions_.unsqueeze(0),
            last=host[4 * total :],
            slots=slots,
            owners=owners,
            prompts=len(prompts),
            longest=longest,
        )
