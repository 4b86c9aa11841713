"""Class labels: their check, and the cross-entropy with its two derivatives' ingredients."""

import torch
from torch import Tensor

from colarepro.errors import ColaError

# sup |softmax - one-hot|_2: at most (1 - p_y)^2 + (sum of the others)^2 = 2 (1 - p_y)^2 under the root.
LARGEST_ERROR = 2**0.5
# sup of the largest eigenvalue of diag(p) - p p^T (Böhning 1992): along a unit v it is the variance of v under p,
# at most a quarter of its squared range (max - min)^2 <= 2 |v|^2. Two classes at p = 1/2 attain it.
LARGEST_BEND = 0.5


def check_labels(what: str, labels: Tensor, count: int, samples: int, classes: int) -> Tensor:
    """The batch as int64; raise `ColaError` unless it is (count, samples) whole numbers from 0 to classes - 1."""
    if tuple(labels.shape) != (count, samples):
        raise ColaError(f"The {what} have shape {tuple(labels.shape)}; expected ({count} x {samples}).")
    if labels.is_floating_point() or labels.is_complex() or not bool(((labels >= 0) & (labels < classes)).all()):
        raise ColaError(f"The {what} hold a value that is no class; expected whole numbers from 0 to {classes - 1}.")
    return labels.to(torch.int64)


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropies (S,), in nats, of logits (S, N, c) and labels (S, N)."""
    return (logits.logsumexp(2) - logits.gather(2, labels[:, :, None])[:, :, 0]).mean(1)


def probability_error(logits: Tensor, labels: Tensor) -> Tensor:
    """softmax - one-hot (S, N, c): the derivative of each sample's cross-entropy by its logits."""
    probabilities = logits.softmax(2)
    return probabilities.scatter_add(2, labels[:, :, None], torch.full_like(probabilities[:, :, :1], -1))
