"""The training examples that give the loss and its gradient, the same at every look."""

from dataclasses import dataclass

import torch
from torch import Tensor

from colarepro.models.candidates import candidate_batch
from colarepro.tasks import Encoded


@dataclass(frozen=True)
class Sample:
    """Examples in batches of about equal lengths, on the model's device."""

    batches: list[tuple[dict[str, Tensor], Tensor]]
    candidates: list[list[int]]
    examples: int


def sample_of(encoded: Encoded, examples: int, pad: int, batch_size: int, device: str) -> Sample:
    """The first ``examples`` of them, or all there are; a draw is in random order."""
    count = min(examples, len(encoded.prompts))
    longest_first = sorted(range(count), key=lambda i: -len(encoded.prompts[i]))
    batches = []
    for start in range(0, count, batch_size):
        chosen = longest_first[start : start + batch_size]
        batch = candidate_batch([encoded.prompts[i] for i in chosen], encoded.candidates, pad)
        labels = torch.tensor([encoded.labels[i] for i in chosen], device=device)
        batches.append(({name: part.to(device) for name, part in batch.items()}, labels))
    return Sample(batches, encoded.candidates, count)
