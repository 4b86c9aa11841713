"""In-context learning: the pretrained model's answer after solved examples."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from colarepro.errors import ColaError
from colarepro.methods.answers import Answers, Question
from colarepro.methods.zero_shot import zero_shot
from colarepro.tasks import Example, Splits

SEPARATOR = "\n\n"


def in_context(question: Question) -> Answers:
    """Scores of the verbalizers after ``demonstrations`` solved training examples and the prompt.

    As in MeZO, one draw (by the seed) serves all prompts, and what is too long loses its beginning.
    """
    known = question.splits.train
    if not 1 <= question.demonstrations <= len(known):
        raise ColaError(
            f"{question.demonstrations} demonstrations were asked for; expected 1 to {len(known)}, the training "
            f"examples of task {question.task.name}."
        )
    chosen = np.random.default_rng(question.seed).choice(len(known), question.demonstrations, replace=False)
    shown = [(known[i].prompt + question.task.verbalizers[known[i].label]).strip() for i in chosen]

    def after(examples: Sequence[Example]) -> list[Example]:
        return [dataclasses.replace(example, prompt=SEPARATOR.join([*shown, example.prompt])) for example in examples]

    splits = Splits(known, after(question.splits.dev), after(question.splits.test))
    return zero_shot(dataclasses.replace(question, splits=splits))
