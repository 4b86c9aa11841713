"""Prompts and verbalizers as token ids, for any tokenizer."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from typing import Any

from colarepro.errors import ColaError, quoted
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
    """`tokenize`, then cut to ``max_length`` tokens (or the tokenizer's own limit), longest verbalizer included.

    What a prompt has too much it loses on the left, after the special tokens with which the tokenizer begins every
    text. Raises `ColaError` as `tokenize` does, and if the limit leaves no room for a prompt.
    """
    whole = tokenize(task, examples, tokenizer)
    starts, _ = _frame(tokenizer)
    limit = min(max_length, tokenizer.model_max_length)
    keep = limit - max(map(len, whole.candidates))
    if keep <= starts:
        raise ColaError(f"A maximum length of {limit} tokens leaves no room for a prompt of task {task.name}.")
    cut = [ids if len(ids) <= keep else ids[:starts] + ids[len(ids) - keep + starts :] for ids in whole.prompts]
    return replace(whole, prompts=cut)


def tokenize(task: Task, examples: Sequence[Example], tokenizer: Any) -> Encoded:
    """Tokenise prompt and verbalizer together, and part them where the verbalizers begin to differ.

    A verbalizer tokenised alone is often another token: sentencepiece (Llama 2) sets a space before it, so that
    ``Yes`` alone is ``▁Yes`` but after a line break it is ``Yes``; and a prompt tokenised alone may end otherwise
    than in front of a word. Tokens that all verbalizers share at their start count as prompt: they say nothing
    about the label. Special tokens that the tokenizer sets before a text are kept, those that it sets after it are not.

    Raises `ColaError` if the verbalizers' tokens depend on the prompt, if one verbalizer's tokens begin another's,
    or if a prompt has no token.
    """
    if not examples:
        raise ColaError(f"Task {task.name}: no example to encode.")
    count = len(task.verbalizers)
    texts = [example.prompt + verbalizer for example in examples for verbalizer in task.verbalizers]
    # Not truncated here, so the tokenizer's own "longer than the model's maximum" does not apply.
    joint: list[list[int]] = tokenizer(texts, verbose=False)["input_ids"]
    _, ends = _frame(tokenizer)
    if ends:
        joint = [ids[:-ends] for ids in joint]

    candidates: list[list[int]] = []
    prompts: list[list[int]] = []
    for i, example in enumerate(examples):
        together = joint[i * count : (i + 1) * count]
        shared = _shared_start(together)
        tails = [ids[shared:] for ids in together]
        if not candidates:
            _check_candidates(task, tails)
            candidates = tails
        if tails != candidates:
            raise ColaError(
                f"Task {task.name}: after the prompt of example {example.identity} this tokenizer gives the "
                f"verbalizers other tokens than after the first one's; a template that ends in a line break, or "
                f"verbalizers that begin with a space, keep them apart."
            )
        if not shared:
            raise ColaError(f"Task {task.name}: the prompt of example {example.identity} has no token.")
        prompts.append(together[0][:shared])
    return Encoded(prompts, [example.label for example in examples], candidates)


def _check_candidates(task: Task, candidates: list[list[int]]) -> None:
    """None may begin another: where one ends and the other goes on, no token tells them apart."""
    for one, other in permutations(range(len(candidates)), 2):
        if candidates[other][: len(candidates[one])] == candidates[one]:
            begun, whole = quoted(task.verbalizers[one]), quoted(task.verbalizers[other])
            raise ColaError(
                f"Task {task.name}: to this tokenizer the verbalizer {begun} is the beginning of {whole}, or the same; "
                "expected were verbalizers of which none begins another."
            )


def _shared_start(lists: list[list[int]]) -> int:
    shared = 0
    for column in zip(*lists, strict=False):
        if len(set(column)) > 1:
            break
        shared += 1
    return shared


def _frame(tokenizer: Any) -> tuple[int, int]:
    """How many special tokens the tokenizer sets before and after a text."""
    special = tokenizer("a", return_special_tokens_mask=True)["special_tokens_mask"]
    return special.index(0), special[::-1].index(0)
