"""What can be known of a task before a run: sizes, balance, and what a tokenizer makes of it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from colarepro.tasks.encode import tokenize
from colarepro.tasks.examples import Example, load_examples
from colarepro.tasks.protocol import draw, sizes
from colarepro.tasks.task import Task

CHUNK = 1000  # examples tokenised at once: a tokenizer's answer holds far more than ids


def data_facts(task: Task, data_dir: Path | str | None = None, seed: int = 0) -> dict[str, Any]:
    """Rows as read; rows as drawn with the defaults of `draw` (0 to train on where the protocol leaves none; ``test``
    is the same under both); labels with their counts; the commonest label's share of train, of validation and of the
    test set drawn under ``seed``. Raises `ColaError` as `draw` does."""
    train, validation = (load_examples(task, split, data_dir) for split in ("train", "validation"))
    test = draw(task, data_dir, seed).test
    (paper_train, paper_dev), (mezo_train, mezo_dev) = (
        sizes(task, len(train), protocol) for protocol in ("paper", "mezo")
    )
    return {
        "task": task.name,
        "train_rows": len(train),
        "validation_rows": len(validation),
        "paper_train": paper_train,
        "paper_dev": paper_dev,
        "mezo_train": mezo_train,
        "mezo_dev": mezo_dev,
        "test": len(test),
        "train_labels": _labels(task, train),
        "validation_labels": _labels(task, validation),
        "train_majority": _majority(train),
        "validation_majority": _majority(validation),
        "test_majority": _majority(test),
    }


def token_facts(task: Task, examples: Sequence[Example], tokenizer: Any, max_length: int = 2048) -> dict[str, Any]:
    """Lengths in tokens of the prompts, each with the longest verbalizer: the smallest that 50, 90 and 99 % do not
    exceed, and the largest; the ``limit`` (``max_length`` or the tokenizer's own) and the share above it, which
    `encode` would cut; whether each verbalizer is one token, so that a loss takes one pass over the prompt; and
    which tokens. Raises `ColaError` as `tokenize` does."""
    candidates = tokenize(task, examples[:1], tokenizer).candidates
    longest = max(map(len, candidates))
    lengths: list[int] = []
    for start in range(0, len(examples), CHUNK):
        # The first example stands before every chunk, so that all are held to its tokens for the verbalizers.
        encoded = tokenize(task, [examples[0], *examples[start : start + CHUNK]], tokenizer)
        lengths += [len(prompt) + longest for prompt in encoded.prompts[1:]]
    limit = min(max_length, tokenizer.model_max_length)
    quantiles = np.quantile(lengths, (0.5, 0.9, 0.99, 1.0), method="inverted_cdf")
    return {
        **{f"tokens_{name}": int(value) for name, value in zip(("50", "90", "99", "max"), quantiles, strict=True)},
        "limit": limit,
        "share_cut": float(np.mean(np.array(lengths) > limit)),
        "one_token": all(len(candidate) == 1 for candidate in candidates),
        "verbalizer_tokens": ", ".join(" ".join(tokenizer.convert_ids_to_tokens(ids)) for ids in candidates),
    }


def task_facts(
    tasks: Sequence[Task],
    tokenizers: Mapping[str, Any],
    data_dir: Path | str | None = None,
    max_length: int = 2048,
    seed: int = 0,
) -> pd.DataFrame:
    """One row a task and tokenizer, or one a task where there are no tokenizers: `data_facts`, then the tokenizer's
    name and `token_facts` over train and validation together."""
    rows: list[dict[str, Any]] = []
    for task in tasks:
        facts = data_facts(task, data_dir, seed)
        if not tokenizers:
            rows.append(facts)
            continue
        examples = [*load_examples(task, "train", data_dir), *load_examples(task, "validation", data_dir)]
        for name, tokenizer in tokenizers.items():
            rows.append(facts | {"tokenizer": name} | token_facts(task, examples, tokenizer, max_length))
    return pd.DataFrame(rows)


def _labels(task: Task, examples: Sequence[Example]) -> str:
    counts = Counter(example.label for example in examples)
    return ", ".join(f"{text.strip()} {counts[label]}" for label, text in enumerate(task.verbalizers))


def _majority(examples: Sequence[Example]) -> float:
    return max(Counter(example.label for example in examples).values()) / len(examples)
