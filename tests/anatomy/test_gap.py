"""The full weight's gradient, the Frank-Wolfe gap, and the oracle's error, each against its definition."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from colarepro.anatomy.gap import Sample, Slope, frank_wolfe_gap, oracle, sample_of, slopes
from colarepro.chain import Schedule
from colarepro.chain.target import Factors, Target, targets_of
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
        left, values, right = np.linalg.svd(gradient.numpy().astype(float))
        assert slope.value == pytest.approx(values[0], rel=1e-5)
        assert abs(float(slope.left @ torch.tensor(left[:, 0]).float())) == pytest.approx(1, abs=1e-4)
        assert abs(float(slope.right @ torch.tensor(right[0]).float())) == pytest.approx(1, abs=1e-4)
        delta = target.total().product()
        assert slope.inner(target.total()) == pytest.approx(float((gradient * delta).sum()), rel=1e-3, abs=1e-7)


def test_looking_leaves_no_gradient_and_no_hook() -> None:
    model = peft_model().eval()
    targets = targets_of(model, "default", "none")
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


def slope_of(gradient: np.ndarray) -> Slope:
    left, values, right = np.linalg.svd(gradient)
    parts = [torch.tensor(part).float() for part in (gradient, left[:, 0], right[0])]
    return Slope(parts[0], float(values[0]), parts[1], parts[2])


def test_the_gap_is_the_most_that_any_vertex_gains() -> None:
    """Brute force over the extreme points of the product of two balls of 2 × 2 matrices."""
    rng = np.random.default_rng(0)
    gradients, deltas = rng.standard_normal((2, 2, 2)), rng.standard_normal((2, 2, 2))
    radius = np.array([np.linalg.norm(delta, "nuc") for delta in deltas]) * [1.0, 1.5]
    turns = np.linspace(0, 2 * np.pi, 1001)
    circle = np.stack([np.cos(turns), np.sin(turns)], axis=1)
    best = 0.0
    for gradient, delta, tau in zip(gradients, deltas, radius, strict=True):
        vertices = -tau * np.einsum("ui,vj->uvij", circle, circle)
        best += np.einsum("ij,uvij->uv", gradient, delta - vertices).max()
    inner = np.array([[(gradient * delta).sum() for gradient, delta in zip(gradients, deltas, strict=True)]])
    largest = np.linalg.norm(gradients, 2, axis=(1, 2))[None]
    gap = frank_wolfe_gap(inner, largest, radius)
    assert gap.shape == (1,)
    assert gap[0] == pytest.approx(best, rel=1e-4)
    assert gap[0] >= best - 1e-12


def test_an_oracle_is_judged_by_equation_1() -> None:
    """epsilon = <V, G> - min over the ball, V being the link stretched to the ball's boundary."""
    rng = np.random.default_rng(1)
    gradient, A, B = rng.standard_normal((6, 5)), rng.standard_normal((2, 5)), rng.standard_normal((6, 2))
    link = Factors(torch.tensor(A).float(), torch.tensor(B).float())
    answer = oracle(slope_of(gradient), link)
    tau, update = 3.0, B @ A
    vertex = tau * update / np.linalg.norm(update, "nuc")
    values = np.linalg.svd(gradient)[1]
    assert tau * answer.shortfall == pytest.approx((vertex * gradient).sum() + tau * values[0], rel=1e-5)
    assert answer.share == pytest.approx(answer.shortfall / values[0])
    left, _, right = np.linalg.svd(gradient)
    top = -np.outer(left[:, 0], right[0])
    assert answer.cosine_top == pytest.approx((top * update).sum() / np.linalg.norm(update), rel=1e-4)
    cosine = -(gradient * update).sum() / np.linalg.norm(update) / np.linalg.norm(gradient)
    assert answer.cosine_gradient == pytest.approx(cosine, rel=1e-4)


def test_the_best_vertex_is_an_exact_oracle_and_nothing_is_none() -> None:
    gradient = np.random.default_rng(2).standard_normal((6, 5))
    slope = slope_of(gradient)
    best = Factors(slope.right[None], -0.3 * slope.left[:, None])
    assert oracle(slope, best).share == pytest.approx(0, abs=1e-5)
    assert oracle(slope, best).cosine_top == pytest.approx(1, abs=1e-5)
    nothing = oracle(slope, Factors(best.A, torch.zeros_like(best.B)))
    assert np.isnan([nothing.shortfall, nothing.share, nothing.cosine_top, nothing.cosine_gradient]).all()


def test_a_zero_gradient_has_no_gap() -> None:
    """A model that says the same of everything: nothing flows back, and no ball has a better corner."""
    model = peft_model().eval()
    model.get_output_embeddings().weight.data.zero_()
    targets = targets_of(model, "default", "none")
    sample: Sample = sample_of(ENCODED, 5, pad=0, batch_size=4, device="cpu")
    loss, found = slopes(model, targets, sample)
    assert loss == pytest.approx(np.log(2))
    assert all(slope.value == 0 and slope.norm == 0 for slope in found.values())
