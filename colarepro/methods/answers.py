"""What a method that trains nothing by gradients is asked, and what it answers."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from colarepro.tasks import Splits, Task


@dataclass(frozen=True)
class Question:
    """A pretrained model in evaluation mode with its tokenizer, and a task's examples."""

    model: Any
    tokenizer: Any
    task: Task
    splits: Splits
    batch_size: int
    """Prompts in one forward pass."""
    max_length: int
    """Tokens; longer prompts lose their beginning."""
    seed: int
    demonstrations: int
    """Solved training examples before every prompt, for the method that shows them."""


@dataclass(frozen=True)
class Answers:
    """One score a candidate, larger for the likelier one: float64 (examples, candidates), logarithms of
    probabilities up to a constant a row. ``parameters_trained`` counts what was fitted."""

    dev: np.ndarray
    test: np.ndarray
    parameters_trained: int = 0
