"""How predictions are judged. Every score is a share between 0 and 1."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from colarepro.errors import ColaError

if TYPE_CHECKING:  # the task file checks its metrics against ours
    from colarepro.tasks.examples import Example
    from colarepro.tasks.task import Task

Labels = np.ndarray  # (examples,) int64


def accuracy(truth: Labels, predicted: Labels, groups: Sequence[str]) -> float:
    """Share of right predictions."""
    return float(np.mean(truth == predicted))


def f1(truth: Labels, predicted: Labels, label: int) -> float:
    """Harmonic mean of precision and recall for one label; 0 if it is neither predicted nor true."""
    hits = int(np.sum((truth == label) & (predicted == label)))
    named = int(np.sum(truth == label) + np.sum(predicted == label))
    return 2 * hits / named if named else 0.0


def macro_f1(truth: Labels, predicted: Labels, groups: Sequence[str]) -> float:
    """Mean F1 over the labels that occur among truths or predictions (SuperGLUE's second metric for CB)."""
    return float(np.mean([f1(truth, predicted, label) for label in np.union1d(truth, predicted)]))


def f1a(truth: Labels, predicted: Labels, groups: Sequence[str]) -> float:
    """F1 of label 1 over all answers of all questions (MultiRC)."""
    return f1(truth, predicted, 1)


def exact_match(truth: Labels, predicted: Labels, groups: Sequence[str]) -> float:
    """Share of groups (MultiRC's questions) whose every example is right, as far as the examples go.

    A draw takes answers, not questions, so a question may be judged on some of its answers only, which
    makes the score kinder than the leaderboard's.
    """
    right: dict[str, bool] = defaultdict(lambda: True)
    for group, hit in zip(groups, truth == predicted, strict=True):
        right[group] &= bool(hit)
    return float(np.mean(list(right.values())))


METRICS: Mapping[str, Callable[[Labels, Labels, Sequence[str]], float]] = {
    "accuracy": accuracy,
    "macro_f1": macro_f1,
    "f1a": f1a,
    "exact_match": exact_match,
}


def scores(task: "Task", examples: Sequence["Example"], predictions: Sequence[int]) -> dict[str, float]:
    """The task's metrics by name, and ``majority``: the accuracy of the commonest label among these examples.

    ``predictions`` are label indices, one an example. Raises `ColaError` if there is not one for each, or one
    lies outside the task's labels.
    """
    if len(predictions) != len(examples) or not examples:
        raise ColaError(f"{len(examples)} examples need as many predictions (at least one), not {len(predictions)}.")
    truth = np.array([example.label for example in examples])
    predicted = np.array(predictions)
    if not set(predicted.tolist()) <= set(range(len(task.labels))):
        raise ColaError(f"A prediction for task {task.name} must be a label from 0 to {len(task.labels) - 1}.")
    groups = [example.group for example in examples]
    result = {name: METRICS[name](truth, predicted, groups) for name in task.metrics}
    return result | {"majority": float(np.bincount(truth).max() / len(truth))}
