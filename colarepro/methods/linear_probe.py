"""Linear probing: a logistic regression on the frozen model's last hidden state."""

import warnings
from typing import Any

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from colarepro.errors import ColaError
from colarepro.methods.answers import Answers, Question
from colarepro.models.candidates import pad_left
from colarepro.tasks import encode

STRENGTHS = tuple(10.0**power for power in range(-5, 2))
"""Inverse strengths of the L2 penalty to choose from (scikit-learn's C)."""


def linear_probe(question: Question) -> Answers:
    """Log-probabilities of a multinomial logistic regression on what the output embedding reads at the prompt's end.

    Features are standardized, and the penalty is the one with the least dev loss, as an epoch is elsewhere. Raises
    `ColaError` if all training examples have one label.
    """
    if len({example.label for example in question.splits.train}) < 2:
        raise ColaError(
            f"Task {question.task.name}: all training examples have one label; a linear probe expects two or more."
        )
    labels = len(question.task.verbalizers)
    encoded = [
        encode(question.task, examples, question.tokenizer, question.max_length)
        for examples in (question.splits.train, question.splits.dev, question.splits.test)
    ]
    train, dev, test = (
        hidden_states(question.model, part.prompts, question.tokenizer.pad_token_id, question.batch_size)
        for part in encoded
    )
    fits = [_fit(strength, train, encoded[0].labels) for strength in STRENGTHS]
    best = min(
        fits, key=lambda fit: log_loss(encoded[1].labels, _scores(fit, dev, labels, log=False), labels=range(labels))
    )
    fitted = best[-1].coef_.size + best[-1].intercept_.size  # for two labels scikit-learn fits one vector
    return Answers(_scores(best, dev, labels), _scores(best, test, labels), fitted)


@torch.no_grad()
def hidden_states(model: Any, prompts: list[list[int]], pad: int, batch_size: int) -> np.ndarray:
    """The output embedding's input at each prompt's last token: float64 (prompts, width)."""
    taken: list[torch.Tensor] = []
    hook = model.get_output_embeddings().register_forward_pre_hook(lambda _, inputs: taken.append(inputs[0][:, -1]))
    try:
        for start in range(0, len(prompts), batch_size):
            batch = pad_left(prompts[start : start + batch_size], pad)
            model(**{name: part.to(model.device) for name, part in batch.items()}, logits_to_keep=1, use_cache=False)
    finally:
        hook.remove()
    return torch.cat(taken).double().cpu().numpy()


def _fit(strength: float, features: np.ndarray, labels: list[int]) -> Any:
    fit = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=1000))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # weak penalties that separate the data; dev judges them
        return fit.fit(features, labels)


def _scores(fit: Any, features: np.ndarray, labels: int, log: bool = True) -> np.ndarray:
    """Per label, also for one that the training examples lack."""
    scores = np.full((len(features), labels), np.finfo(float).tiny)
    scores[:, fit[-1].classes_] = np.maximum(fit.predict_proba(features), np.finfo(float).tiny)
    return np.log(scores) if log else scores
