"""Intruder dimensions: leading singular vectors of a merged weight that the original has nothing like.

Shuttleworth et al. 2024, LoRA vs Full Fine-tuning: An Illusion of Equivalence, arXiv 2410.21228. The measure is that of
PEFT's `reduce_intruder_dimension`, with its constants; PEFT counts one adapter over its own base, and prints the
counts, here it is the whole chain over the weight that it began with.
"""

import torch
from scipy.linalg import eigh
from torch import Tensor

from colarepro.chain.target import Target

TOP = 10
"""Leading singular vectors that are looked at."""
SIMILAR = 0.5
"""An absolute cosine below this with every vector of the original makes an intruder."""


def original_weight(target: Target) -> Tensor:
    """The weight that a chain began with, (out, in) float32 on the host."""
    weight = target.merged(None)[0].detach().float().cpu()
    return weight.T if getattr(target.layer, "fan_in_fan_out", False) else weight


def left_vectors(weight: Tensor) -> Tensor:
    """All left singular vectors of a weight (out, in), as columns (out, min(out, in))."""
    return torch.linalg.svd(weight, full_matrices=False).U


def leading_left_vectors(weight: Tensor, count: int = TOP) -> Tensor:
    """The first ``count`` of them, which the Gram matrix in float64 resolves well, at a third of the time."""
    gram = (weight.double() @ weight.double().T).numpy()
    last = len(gram) - 1
    _, vectors = eigh(gram, subset_by_index=[max(last - count + 1, 0), last])
    return torch.from_numpy(vectors[:, ::-1].copy()).to(weight.dtype)


def count_intruders(original: Tensor, merged: Tensor) -> int:
    """How many of the leading left vectors of ``merged`` (out, in) are intruders, 0 to `TOP`.

    ``original`` holds the `left_vectors` of the original weight, which are needed many times.
    """
    cosines = (leading_left_vectors(merged).T @ original).abs().max(1).values
    return int((cosines < SIMILAR).sum())
