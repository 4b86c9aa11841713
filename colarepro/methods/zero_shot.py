"""Zero-shot: the pretrained model's own answer to the prompt."""

from colarepro.methods.answers import Answers, Question
from colarepro.models.candidates import scores_of
from colarepro.tasks import encode


def zero_shot(question: Question) -> Answers:
    """Scores of the verbalizers after each prompt; the training examples are not looked at."""
    dev, test = (
        scores_of(
            question.model,
            encode(question.task, examples, question.tokenizer, question.max_length),
            question.tokenizer.pad_token_id,
            question.batch_size,
        )
        for examples in (question.splits.dev, question.splits.test)
    )
    return Answers(dev, test)
