"""A run that trains nothing by gradients."""

import time
from collections.abc import Callable

import numpy as np
from scipy.special import log_softmax

from colarepro.methods import Answers, Question
from colarepro.results import Record
from colarepro.runs.costs import peak_bytes, reset_peak
from colarepro.runs.material import Material


def answer(method: Callable[[Question], Answers], material: Material) -> Record:
    """The record of such a method; its dev loss is the cross-entropy over the candidates, as that of trained ones."""
    config, loaded = material.config, material.loaded
    reset_peak(material.device)
    started = time.perf_counter()
    answers = method(
        Question(
            model=loaded.model,
            tokenizer=loaded.tokenizer,
            task=material.task,
            splits=material.splits,
            batch_size=4 * config.batch_size,
            max_length=config.max_length,
            seed=config.seed,
            demonstrations=config.demonstrations,
        )
    )
    truth = np.array([example.label for example in material.splits.dev])
    own = np.take_along_axis(log_softmax(answers.dev, axis=1), truth[:, None], axis=1)
    predictions = answers.test.argmax(1).tolist()
    return material.record(
        predictions,
        scores=material.judge(predictions)
        | {"dev_loss": float(-own.mean()), "dev_accuracy": float((answers.dev.argmax(1) == truth).mean())},
        costs={
            "parameters": sum(parameter.numel() for parameter in loaded.model.parameters()),
            "parameters_trained": answers.parameters_trained,
            "seconds_test": time.perf_counter() - started,
            "peak_bytes": peak_bytes(material.device),
        },
    )
