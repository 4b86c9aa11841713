"""Methods that train nothing by gradients."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from colarepro.errors import ColaError
from colarepro.methods import Question
from colarepro.methods.in_context import in_context
from colarepro.methods.linear_probe import STRENGTHS, hidden_states, linear_probe
from colarepro.methods.zero_shot import zero_shot
from colarepro.models import load
from colarepro.runs import RunConfig, perform
from colarepro.tasks import Splits, draw, encode, load_task


@pytest.fixture
def question(untrained: str, miniature: Path) -> Question:
    loaded, task = load(untrained), load_task("rte")
    splits = draw(task, miniature, 0, "paper", 40, 12, 10)
    return Question(
        loaded.model, loaded.tokenizer, task, splits, batch_size=4, max_length=256, seed=0, demonstrations=2
    )


def one_by_one(question: Question, prompts: list[str]) -> np.ndarray:
    """Log-probabilities of the verbalizers' first tokens over the whole vocabulary, a prompt at a time."""
    rows = []
    for prompt in prompts:
        ids = question.tokenizer(prompt, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            logits = question.model(input_ids=ids).logits[0, -1].log_softmax(-1)
        words = [
            question.tokenizer(word, add_special_tokens=False)["input_ids"][0] for word in question.task.verbalizers
        ]
        rows.append(logits[words].numpy())
    return np.array(rows)


def centred(scores: np.ndarray) -> np.ndarray:
    """Scores up to a constant a row."""
    return scores - scores.mean(1, keepdims=True)


def test_zero_shot_is_the_models_own_answer(question: Question) -> None:
    answers = zero_shot(question)
    for found, examples in ((answers.dev, question.splits.dev), (answers.test, question.splits.test)):
        expected = one_by_one(question, [example.prompt for example in examples])
        np.testing.assert_allclose(centred(found), centred(expected), atol=1e-5)
    assert answers.parameters_trained == 0


def test_in_context_shows_solved_examples(question: Question) -> None:
    """The same examples, of the training set only, with their right verbalizers before every prompt."""
    answers = in_context(question)
    known = question.splits.train
    chosen = np.random.default_rng(0).choice(len(known), 2, replace=False)
    shown = [known[i].prompt + ("Yes", "No")[known[i].label] for i in chosen]
    expected = one_by_one(question, ["\n\n".join([*shown, example.prompt]) for example in question.splits.test])
    np.testing.assert_allclose(centred(answers.test), centred(expected), atol=1e-5)
    assert not np.allclose(in_context(dataclasses.replace(question, seed=1)).test, answers.test)


def test_more_demonstrations_than_examples_are_refused(question: Question) -> None:
    with pytest.raises(ColaError, match="41 demonstrations were asked for; expected 1 to 40"):
        in_context(dataclasses.replace(question, demonstrations=41))


def test_hidden_states_are_the_last_layers_own(question: Question) -> None:
    encoded = encode(question.task, question.splits.dev, question.tokenizer)
    found = hidden_states(question.model, encoded.prompts, question.tokenizer.pad_token_id, 5)
    for row, prompt in zip(found, encoded.prompts, strict=True):
        with torch.no_grad():
            states = question.model(input_ids=torch.tensor([prompt]), output_hidden_states=True).hidden_states
        np.testing.assert_allclose(row, states[-1][0, -1].numpy(), atol=1e-5)


def test_linear_probe_is_the_best_logistic_regression_on_dev(question: Question) -> None:
    encoded = [
        encode(question.task, part, question.tokenizer)
        for part in (question.splits.train, question.splits.dev, question.splits.test)
    ]
    train, dev, test = (hidden_states(question.model, part.prompts, 1, 8) for part in encoded)
    scaler = StandardScaler().fit(train)
    best, least = None, np.inf
    for strength in STRENGTHS:
        fit = LogisticRegression(C=strength, max_iter=1000).fit(scaler.transform(train), encoded[0].labels)
        own = fit.predict_log_proba(scaler.transform(dev))[np.arange(12), encoded[1].labels]
        if -own.mean() < least:
            best, least = fit, -own.mean()
    assert best is not None
    answers = linear_probe(question)
    np.testing.assert_allclose(answers.test, best.predict_log_proba(scaler.transform(test)), atol=1e-6)
    assert answers.parameters_trained == train.shape[1] + 1


def relabelled(question: Question, *labels: int) -> Question:
    """CB's question, with so many of its labels in train, dev and test."""
    parts = (question.splits.train, question.splits.dev, question.splits.test)
    splits = Splits(
        *(
            [dataclasses.replace(example, label=i % count) for i, example in enumerate(part)]
            for part, count in zip(parts, labels, strict=True)
        )
    )
    return dataclasses.replace(question, task=load_task("cb"), splits=splits)


def test_a_label_that_training_lacks_gets_no_chance(question: Question) -> None:
    answers = linear_probe(relabelled(question, 2, 3, 3))
    assert answers.test.shape == (10, 3)
    assert (answers.test.argmax(1) < 2).all()


def test_three_labels_take_three_vectors(question: Question) -> None:
    width = question.model.get_output_embeddings().in_features
    assert linear_probe(relabelled(question, 3, 3, 3)).parameters_trained == 3 * (width + 1)


def test_training_on_one_label_is_refused(question: Question) -> None:
    with pytest.raises(ColaError, match="Task cb: all training examples have one label; a linear probe expects two"):
        linear_probe(relabelled(question, 1, 3, 3))


@pytest.mark.parametrize("method", ["zero-shot", "in-context", "linear-probe"])
def test_a_run_leaves_a_whole_record(method: str, untrained: str, miniature: Path) -> None:
    config = RunConfig(
        task="rte",
        method=method,
        model=untrained,
        data_dir=miniature,
        train_examples=40,
        dev_examples=12,
        test_examples=10,
        demonstrations=2,
    )
    record = perform(config)
    assert record.status == "done"
    hits = [p == t for p, t in zip(record.predictions["test"], record.predictions["test_labels"], strict=True)]
    assert record.scores["test_accuracy"] == sum(hits) / 10
    assert record.scores["dev_loss"] > 0
    assert {"weights", "train", "dev", "test"} == set(record.digests)
    assert perform(dataclasses.replace(config, learning_rate=0.1, epochs=1)).config == record.config
