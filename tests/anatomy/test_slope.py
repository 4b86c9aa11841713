"""The full weight's gradient and its leading pair, against autograd on an unfrozen dense model."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from colarepro.anatomy.sample import sample_of
from colarepro.anatomy.slope import slopes
from colarepro.chain import Schedule
from colarepro.chain.target import Target, targets_of
from colarepro.tasks import Encoded
from tests.chain.models import base_model, chained, peft_model, train

PROMPTS = [[5, 6, 7], [8, 9, 10, 11, 12], [13, 14], [15, 16, 17, 18, 19, 20], [21, 22, 23]]
ENCODED = Encoded(PROMPTS, labels=[0, 1, 1, 0, 1], candidates=[[30], [31]])


def dense_copy(family: str, targets: list[Target]) -> Any:
    """A model without adapters whose target weights are what the adapted one's amount to, and are trained."""
    dense = base_model(family).eval().requires_grad_(False)
    for target in targets:
        layer = dense.get_submodule(target.name.removeprefix("base_model.model."))
        delta = target.total().product()
        layer.weight.data += delta.T if family == "gpt2" else delta
        layer.weight.requires_grad_(True)
    return dense


@pytest.mark.parametrize("family", ["llama", "opt", "gpt2"])
@pytest.mark.parametrize("candidates", [[[30], [31]], [[30], [31, 32]]], ids=["one token", "two tokens"])
def test_the_gradient_is_that_of_the_full_weight(family: str, candidates: list[list[int]]) -> None:
    """Of an unfrozen dense copy, fed one unpadded prompt after another; also behind a knot, whose past is merged."""
    model = peft_model(family)
    chain, optimizer = chained(model, Schedule(length=2), total_steps=8)
    train(model, chain, optimizer, steps=7)
    model.eval()
    targets = chain.targets
    sample = sample_of(Encoded(PROMPTS, ENCODED.labels, candidates), 4, pad=0, batch_size=2, device="cpu")
    loss, found = slopes(model, targets, sample)

    dense = dense_copy(family, targets)
    losses = []
    for prompt, label in zip(PROMPTS[:4], ENCODED.labels[:4], strict=True):
        scores = []
        for candidate in candidates:
            logits = dense(input_ids=torch.tensor([[*prompt, *candidate]])).logits[0].log_softmax(-1)
            places = range(len(prompt) - 1, len(prompt) - 1 + len(candidate))
            scores.append(torch.stack([logits[place, token] for place, token in zip(places, candidate, strict=True)]))
        means = torch.stack([score.mean() for score in scores])
        losses.append(cross_entropy(means[None], torch.tensor([label])))
    expected = torch.stack(losses).mean()
    expected.backward()
    assert loss == pytest.approx(expected.item(), rel=1e-5)
    for target in targets:
        gradient = dense.get_submodule(target.name.removeprefix("base_model.model.")).weight.grad
        gradient = gradient.T if family == "gpt2" else gradient
        slope = found[target.name]
        torch.testing.assert_close(slope.gradient, gradient, rtol=1e-3, atol=1e-7)
        left, values, right = np.linalg.svd(
            slope.gradient.numpy().astype(float)
        )  # some are near rounding, here and there
        assert slope.value == pytest.approx(values[0], rel=1e-5)
        assert abs(float(slope.left @ torch.tensor(left[:, 0]).float())) == pytest.approx(1, abs=1e-4)
        assert abs(float(slope.right @ torch.tensor(right[0]).float())) == pytest.approx(1, abs=1e-4)
        delta = target.total().product()
        assert slope.inner(target.total()) == pytest.approx(float((gradient * delta).sum()), rel=1e-3, abs=1e-7)


def test_looking_leaves_no_gradient_and_no_hook() -> None:
    model = peft_model().eval()
    targets = targets_of(model, "default")
    state = copy.deepcopy(model.state_dict())
    slopes(model, targets, sample_of(ENCODED, 5, pad=0, batch_size=4, device="cpu"))
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any(target.layer._forward_hooks for target in targets)
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


def test_a_sample_is_the_first_examples_longest_together() -> None:
    sample = sample_of(ENCODED, 4, pad=0, batch_size=3, device="cpu")
    lengths = [batch["attention_mask"].sum(1).tolist() for batch, _ in sample.batches]
    assert lengths == [[6, 5, 3], [2]]
    assert [labels.tolist() for _, labels in sample.batches] == [[0, 1, 0], [1]]
    assert sample.examples == 4
    assert sample_of(ENCODED, 100, pad=0, batch_size=3, device="cpu").examples == 5


def test_a_zero_gradient_has_no_gap() -> None:
    """A model that says the same of everything: nothing flows back, and no ball has a better corner."""
    model = peft_model().eval()
    model.get_output_embeddings().weight.data.zero_()
    targets = targets_of(model, "default")
    sample = sample_of(ENCODED, 5, pad=0, batch_size=4, device="cpu")
    loss, found = slopes(model, targets, sample)
    assert loss == pytest.approx(np.log(2))
    assert all(slope.value == 0 and slope.norm == 0 for slope in found.values())


def test_a_gradient_that_is_not_finite_has_no_slopes() -> None:
    model = peft_model().eval()
    model.get_output_embeddings().weight.data.fill_(torch.inf)
    targets = targets_of(model, "default")
    loss, found = slopes(model, targets, sample_of(ENCODED, 5, pad=0, batch_size=4, device="cpu"))
    assert np.isnan(loss)
    assert found == {}
