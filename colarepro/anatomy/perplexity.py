"""Perplexity on text that no task is about: what fine-tuning forgets."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from colarepro.errors import ColaError

DATASET, CONFIG = "Salesforce/wikitext", "wikitext-2-raw-v1"
WINDOWS_AT_ONCE = 4


def read_text(path: Path | None) -> str:
    """A text file's content, or WikiText-2's test split from the hub; raises `ColaError` if it cannot be read."""
    if path is not None:
        try:
            return path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            said = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise ColaError(f"The text {path} could not be read: {said}.") from error
    try:
        from datasets import load_dataset

        return "".join(load_dataset(DATASET, CONFIG, split="test")["text"])
    except Exception as error:  # the hub's client raises dozens of kinds
        raise ColaError(
            f"Dataset {DATASET} could not be read from the hub ({type(error).__name__}); give a file with --text."
        ) from error


def tokens_of(text: str, tokenizer: Any, most: int) -> Tensor:
    """The text's first ``most`` token ids, int64 (tokens,), without special tokens.

    Raises `ColaError` if there are fewer than two, of which none could be predicted.
    """
    # Of a long text only as much is tokenised as ``most`` tokens can need, by far.
    ids = tokenizer(text[: 16 * most], add_special_tokens=False, verbose=False)["input_ids"][:most]
    if len(ids) < 2:
        raise ColaError(f"The text has {len(ids)} tokens for perplexity; expected at least 2.")
    return torch.tensor(ids)


@torch.no_grad()
def perplexity(model: Any, tokens: Tensor, window: int) -> float:
    """exp of the mean cross-entropy of every token but each window's first, in windows that do not overlap.

    A window is no longer than the model's longest position. The model should be in evaluation mode.
    """
    longest = getattr(model.config, "max_position_embeddings", None) or window
    window = min(window, longest)
    whole = len(tokens) // window
    batches = list(tokens[: whole * window].view(whole, window).split(WINDOWS_AT_ONCE)) if whole else []
    rest = tokens[whole * window :]
    batches += [rest[None]] if len(rest) > 1 else []
    total, count = 0.0, 0
    for batch in batches:
        ids = batch.to(model.device)
        logits = model(input_ids=ids, use_cache=False).logits[:, :-1].float()
        total += cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="sum").item()
        count += ids[:, 1:].numel()
    return torch.tensor(total / count).exp().item()  # which may be infinite
