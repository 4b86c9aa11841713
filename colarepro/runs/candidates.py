"""Classification by a causal language model: which verbalizer does it expect after the prompt?"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


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

    One-token candidates need one pass over the prompt. Their scores are then logits, which differ from
    log-probabilities by the same constant for all candidates of a prompt: cross-entropy and argmax are equal.
    """
    lengths = [len(candidate) for candidate in candidates]
    if max(lengths) == 1:
        logits = model(**batch, logits_to_keep=1, use_cache=False).logits[:, -1].float()
        return logits[:, [candidate[0] for candidate in candidates]]
    # The last token's own prediction is not needed, the one before the first candidate token is.
    logits = model(**batch, logits_to_keep=max(lengths) + 1, use_cache=False).logits[:, :-1].float()
    tokens = batch["input_ids"][:, -max(lengths) :].unsqueeze(-1)
    token_scores = logits.log_softmax(-1).gather(-1, tokens).squeeze(-1).view(-1, len(candidates), max(lengths))
    means = [token_scores[:, k, -length:].mean(-1) for k, length in enumerate(lengths)]
    return torch.stack(means, dim=1)
