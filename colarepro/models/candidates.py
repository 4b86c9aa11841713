"""Classification by a causal language model: which verbalizer does it expect after the prompt?"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from torch.nn.parallel import DistributedDataParallel

from colarepro.tasks import Encoded


def pad_left(sequences: Sequence[Sequence[int]], pad: int) -> dict[str, Tensor]:
    """Token ids as a batch whose last column is every sequence's last token: ids, mask, positions, (batch, time)."""
    longest = max(len(sequence) for sequence in sequences)
    ids = torch.tensor([[pad] * (longest - len(sequence)) + list(sequence) for sequence in sequences])
    mask = torch.tensor([[0] * (longest - len(sequence)) + [1] * len(sequence) for sequence in sequences])
    return {"input_ids": ids, "attention_mask": mask, "position_ids": (mask.cumsum(1) - 1).clamp(min=0)}


def candidate_batch(
    prompts: Sequence[Sequence[int]], candidates: Sequence[Sequence[int]], pad: int
) -> dict[str, Tensor]:
    """The model's input for `candidate_scores`: one row a prompt if every candidate is one token, else one row a
    prompt and candidate."""
    if all(len(candidate) == 1 for candidate in candidates):
        return pad_left(prompts, pad)
    return pad_left([[*prompt, *candidate] for prompt in prompts for candidate in candidates], pad)


def candidate_scores(model: Any, batch: dict[str, Tensor], candidates: Sequence[Sequence[int]]) -> Tensor:
    """Mean log-probability of each candidate's tokens after each prompt, float32 (prompts, candidates): MeZO's score.

    One-token candidates need one pass over the prompt and only their own rows of the output embedding. Their scores
    are then logits, which differ from log-probabilities by the same constant for all candidates of a prompt:
    cross-entropy and argmax are equal.
    """
    lengths = [len(candidate) for candidate in candidates]
    if max(lengths) == 1:
        with label_rows(model, [candidate[0] for candidate in candidates]):
            logits: Tensor = model(**batch, logits_to_keep=1, use_cache=False).logits[:, -1]
        return logits.float()
    # The last token's own prediction is not needed, the one before the first candidate token is.
    logits = model(**batch, logits_to_keep=max(lengths) + 1, use_cache=False).logits[:, :-1].float()
    tokens = batch["input_ids"][:, -max(lengths) :].unsqueeze(-1)
    token_scores = logits.log_softmax(-1).gather(-1, tokens).squeeze(-1).view(-1, len(candidates), max(lengths))
    means = [token_scores[:, k, -length:].mean(-1) for k, length in enumerate(lengths)]
    return torch.stack(means, dim=1)


@torch.no_grad()
def scores_of(model: Any, encoded: Encoded, pad: int, batch_size: int) -> np.ndarray:
    """`candidate_scores` of every example in its order, float64 (examples, candidates); ``batch_size`` prompts a
    pass, the longest first, so that little is padded and memory runs out at once or never."""
    order = sorted(range(len(encoded.prompts)), key=lambda i: -len(encoded.prompts[i]))
    scores = np.empty((len(order), len(encoded.candidates)))
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        batch = candidate_batch([encoded.prompts[i] for i in chosen], encoded.candidates, pad)
        batch = {name: part.to(model.device) for name, part in batch.items()}
        scores[chosen] = candidate_scores(model, batch, encoded.candidates).cpu().numpy()
    return scores


class LabelRows(nn.Module):
    """Some rows of an output embedding: hidden (..., width) to logits (..., len(tokens))."""

    def __init__(self, head: nn.Linear, tokens: Sequence[int]) -> None:
        super().__init__()
        self._head = (head,)  # in a tuple, lest it become a child and the weight appear twice
        self._tokens = torch.tensor(list(tokens), device=head.weight.device)

    @property
    def weight(self) -> Tensor:
        """The whole output embedding's, whose dtype models such as Mamba look up."""
        weight: Tensor = self._head[0].weight
        return weight

    def forward(self, hidden: Tensor) -> Tensor:
        (head,) = self._head
        return linear(hidden, head.weight[self._tokens], None if head.bias is None else head.bias[self._tokens])


@contextmanager
def label_rows(model: Any, tokens: Sequence[int]) -> Iterator[None]:
    """Within the block, ``model`` computes the logits of these tokens only; what it does to logits afterwards, such
    as a scale or a cap, it still does. An output embedding that is no plain linear layer is computed whole, and
    these tokens are taken from it."""
    inner = model.module if isinstance(model, DistributedDataParallel) else model
    inner = inner.get_base_model() if hasattr(inner, "get_base_model") else inner
    head = inner.get_output_embeddings()
    show_label_rows(inner, tokens)
    try:
        yield
    finally:
        inner.set_output_embeddings(head)


def show_label_rows(model: Any, tokens: Sequence[int]) -> None:
    """The same from now on, for a model without an adapter around it."""
    head = model.get_output_embeddings()
    model.set_output_embeddings(LabelRows(head, tokens) if type(head) is nn.Linear else TakenRows(head, tokens))


class TakenRows(nn.Module):
    """The same for an output embedding of any kind, at its full cost."""

    def __init__(self, head: Any, tokens: Sequence[int]) -> None:
        super().__init__()
        self._head = (head,)
        self._tokens = list(tokens)

    @property
    def weight(self) -> Tensor:
        weight: Tensor = self._head[0].weight
        return weight

    def forward(self, hidden: Tensor) -> Tensor:
        logits: Tensor = self._head[0](hidden)
        return logits[..., self._tokens]
