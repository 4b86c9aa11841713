"""Prompts and verbalizers as token ids, for any tokenizer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from colarepro.errors import ColaError
from colarepro.tasks.examples import Example
from colarepro.tasks.task import Task


@dataclass(frozen=True)
class Encoded:
    """``prompts``: token ids, one list an example, unpadded. ``labels``: indices into ``candidates``.

    ``candidates``: one list of token ids a verbalizer, the same for every example; ``prompts[i] + candidates[k]``
    is what the tokenizer makes of prompt i continued with verbalizer k.
    """

    prompts: list[list[int]]
    labels: list[int]
    candidates: list[list[int]]

    @property
    def single_token(self) -> bool:
        """Whether every verbalizer is one token, so that one prompt pass scores them all."""
        return all(len(candidate) == 1 for candidate in self.candidates)


def encode(task: Task, examples: Sequence[Example], tokenizer: Any, max_length: int = 2048) -> Encoded:
    """Tokenise prompt and verbalizer together, and part them where the verbalizers begin to differ.

    A verbalizer tokenised alone is often another token: sentencepiece (Llama 2) sets a space before it, so that
    ``Yes`` alone is ``▁Yes`` but after a line break it is ``Yes``; and a prompt tokenised alone may end otherwise
    than in front of a word. Tokens that all verbalizers share at their start count as prompt: they say nothing
    about the label.

    The beginning-of-sequence token is kept where the tokenizer sets one, and a prompt too long for
    ``max_length`` (or the tokenizer's own limit) with its longest verbalizer loses tokens after it, on the left.
    Raises `ColaError` if the verbalizers' tokens depend on the prompt.
    """
    if not examples:
        raise ColaError(f"Task {task.name}: no example to encode.")
    count = len(task.verbalizers)
    texts = [example.prompt + verbalizer for example in examples for verbalizer in task.verbalizers]
    # Not truncated here, so the tokenizer's own "longer than the model's maximum" does not apply.
    joint: list[list[int]] = tokenizer(texts, verbose=False)["input_ids"]
    if tokenizer.eos_token_id is not None and _ends_itself(tokenizer):
        joint = [ids[:-1] for ids in joint]

    candidates: list[list[int]] = []
    prompts: list[list[int]] = []
    for i, example in enumerate(examples):
        together = joint[i * count : (i + 1) * count]
        shared = _shared_start(together)
        tails = [ids[shared:] for ids in together]
        candidates = candidates or tails
        if tails != candidates or not all(tails):
            raise ColaError(
                f"Task {task.name}: after the prompt of example {example.identity} this tokenizer gives the "
                f"verbalizers other tokens than after the first one's."
            )
        prompts.append(together[0][:shared])

    keep = min(max_length, tokenizer.model_max_length) - max(map(len, candidates))
    starts = 1 if tokenizer.bos_token_id is not None and prompts[0][:1] == [tokenizer.bos_token_id] else 0
    if keep <= starts:
        raise ColaError(f"A maximum length of {max_length} tokens leaves no room for a prompt of task {task.name}.")
    cut = [ids if len(ids) <= keep else ids[:starts] + ids[len(ids) - keep + starts :] for ids in prompts]
    return Encoded(cut, [example.label for example in examples], candidates)


def _shared_start(lists: list[list[int]]) -> int:
    shared = 0
    for column in zip(*lists, strict=False):
        if len(set(column)) > 1:
            break
        shared += 1
    return shared


def _ends_itself(tokenizer: Any) -> bool:
    """Whether the tokenizer appends its end-of-sequence token to a text."""
    ids = tokenizer("a")["input_ids"]
    return len(ids) > 1 and ids[-1] == tokenizer.eos_token_id
