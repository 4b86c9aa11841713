"""How scores of candidates are judged."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

NEVER_FINITE = "The dev loss was not finite after any epoch."
"""Why a run has no epoch to be judged at."""


def judge(scores: Tensor, labels: Sequence[int]) -> tuple[float, float]:
    """Mean cross-entropy over the candidates, in nats, and the share of right predictions.

    ``scores`` are float32 (examples, candidates) on the host.
    """
    truth = torch.as_tensor(labels)
    return float(cross_entropy(scores, truth)), float((scores.argmax(1) == truth).double().mean())
