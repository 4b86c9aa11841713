"""What the specs draw: seed by seed, as stated, with a test split of its own. Page: theory/README.md."""

import json

import pytest
import torch
from torch import Tensor

from colarepro.theory.method import minimize
from colarepro.theory.methods import AdamW, Full
from colarepro.theory.problem import ProblemSpec
from colarepro.theory.problems import (
    DigitsSpec,
    DigitsTransfer,
    FactorizationSpec,
    RegressionSpec,
    RobustSpec,
    SoftmaxSpec,
    TwoLayerSpec,
)
from colarepro.theory.problems.digits import _images, _pretrained
from colarepro.theory.spectral import nuclear_norm
from tests.theory.problem_cases import normal

SPECS: tuple[ProblemSpec, ...] = (
    RegressionSpec(outputs=5, inputs=7, samples=30, rank=2, condition=9.0, noise=0.3),
    RegressionSpec(outputs=5, inputs=7, samples=30, rank=2, noise=0.3, isotropic=True),
    FactorizationSpec(rows=5, columns=7, rank=2, noise=0.3, observed=0.5),
    SoftmaxSpec(samples=50, test_samples=50),
    RobustSpec(outputs=5, inputs=7, samples=30, rank=2, noise=0.3),
    TwoLayerSpec(outputs=5, inputs=7, hidden=4, samples=30, noise=0.3),
    DigitsSpec(hidden=4, images=20),
)
each_spec = pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.config()["name"])


def tensors(problem: object) -> dict[str, Tensor]:
    return {name: value for name, value in vars(problem).items() if isinstance(value, Tensor)}


@each_spec
def test_a_seed_draws_the_same_whatever_the_others_are(spec: ProblemSpec) -> None:
    together = tensors(spec.draw([1, 3, 2]).take([1]))
    _pretrained.cache_clear()  # or the digits would only be looked up
    problem, other = spec.draw([3]), spec.draw([4])
    alone = tensors(problem)
    assert together.keys() == alone.keys()
    for name, value in alone.items():
        assert len(value) == 1, f"{name} has no seeds first"
        torch.testing.assert_close(together[name], value, rtol=1e-12, atol=1e-13, msg=name)
    weight = normal(0, *problem.start.shape)
    assert not torch.equal(problem.gradient(weight), other.gradient(weight))
    assert not torch.equal(problem.test_loss(weight), other.test_loss(weight))
    assert spec.config() == json.loads(json.dumps(spec.config()))


@each_spec
def test_fitting_the_training_data_does_not_fit_the_test_data(spec: ProblemSpec) -> None:
    problem = spec.draw([0, 1])
    samples = vars(problem)
    if "_test_inputs" in samples:
        assert float(torch.cdist(samples["_inputs"], samples["_test_inputs"]).min()) > 0
    run = minimize(problem, Full(AdamW(0.05)), steps=300, every=300)
    assert bool((problem.loss(run.weight) < 0.75 * problem.loss(problem.start)).all())
    assert bool((problem.test_loss(run.weight) > 1.02 * problem.loss(run.weight)).all())


def test_regression_draws_the_rank_nuclear_norm_and_condition_that_it_states() -> None:
    spec = RegressionSpec(rank=2)
    problem = spec.draw([0, 1])
    best = problem.best_at_rank(2)
    torch.testing.assert_close(best.value, torch.zeros(2, dtype=torch.float64), atol=1e-20, rtol=0)
    stated = torch.full((2,), spec.nuclear_norm, dtype=torch.float64)
    torch.testing.assert_close(nuclear_norm(best.weight - problem.start), stated)
    wide = RegressionSpec(outputs=1, inputs=4, samples=200_000, rank=1, condition=25.0, test_samples=1).draw([0])
    assert float(wide.smoothness / wide.strong_convexity) == pytest.approx(25, rel=0.03)
    even = RegressionSpec(isotropic=True).draw([0])
    one = torch.ones(1, dtype=torch.float64)
    torch.testing.assert_close((even.smoothness, even.strong_convexity), (one, one))


def test_factorization_draws_the_rank_size_and_mask_that_it_states() -> None:
    spec = FactorizationSpec(rows=20, columns=30, rank=2, size=3.0)
    best = spec.draw([0, 1]).best_at_rank(2)
    assert best is not None
    torch.testing.assert_close(nuclear_norm(best.weight), torch.full((2,), spec.nuclear_norm, dtype=torch.float64))
    assert float(best.weight.square().mean()) == pytest.approx(9)
    seen = 1 / FactorizationSpec(rows=100, columns=100, rank=2, observed=0.3).draw([0]).smoothness
    assert float(seen) == pytest.approx(3000, rel=0.05)


def test_softmax_labels_follow_the_shifted_softmax() -> None:
    spec = SoftmaxSpec(outputs=3, inputs=4, samples=20_000, rank=2, size=2.0, test_samples=20_000)
    problem = spec.draw([0])
    task = spec.task(0)
    for inputs, labels in ((problem._inputs, problem._labels), (problem._test_inputs, problem._test_labels)):
        expected = (inputs[0] @ (task.start + task.shift).T).softmax(1)
        drawn = torch.nn.functional.one_hot(labels[0], 3)
        # Against the probabilities themselves and against what they say of each input.
        spread = (expected * (1 - expected)).mean(0).sqrt() / 20_000**0.5
        assert bool(((drawn - expected).mean(0).abs() < 4 * spread).all())
        assert float(((drawn - expected).mT @ inputs[0] / 20_000).abs().max()) < 4 * 0.5 / 20_000**0.5


def test_robust_targets_hold_the_stated_share_of_outliers() -> None:
    spec = RobustSpec(outliers=0.2, outlier_size=100.0, samples=2000)
    problem, task = spec.draw([0]), spec.task(0)
    off = (problem._targets[0] - task.train @ (task.start + task.shift).T).abs()
    assert float((off > 1e-9).double().mean()) == pytest.approx(0.2, abs=0.01)
    assert float(off[off > 1e-9].square().mean().sqrt()) == pytest.approx(100, rel=0.05)


def test_digits_are_split_by_class_without_overlap() -> None:
    inputs, labels = _images()
    problem = DigitsSpec(images=100).draw([0, 1])
    new = inputs[labels >= 5]
    for seed in range(2):
        assert torch.bincount(problem._labels[seed]).tolist() == [100] * 5
        everything = torch.cat([problem._inputs[seed], problem._test_inputs[seed]])
        assert sorted(everything.tolist()) == sorted(new.tolist())
        both = torch.cat([problem._labels[seed], problem._test_labels[seed]])
        for image, label in zip(everything[::50], both[::50], strict=True):
            assert label + 5 in labels[(inputs == image).all(1)]
    assert not torch.equal(problem._inputs[0], problem._inputs[1])


def test_the_tanh_network_knows_the_old_digits_and_learns_the_new_ones() -> None:
    inputs, labels = _images()
    problem = DigitsSpec().draw([0, 1])
    old = inputs[labels < 5].expand(2, -1, -1), labels[labels < 5].expand(2, -1)
    assert bool((DigitsTransfer(*old, problem.start, *old).test_accuracy(problem.start) > 0.99).all())
    assert bool((problem.test_accuracy(problem.start) < 0.5).all())
    run = minimize(problem, Full(AdamW(0.03)), steps=60, every=60)
    assert bool((problem.test_accuracy(run.weight) > 0.9).all())
    logits = (problem._test_inputs @ run.weight[:, :, :65].mT).tanh() @ run.weight[:, :, 65:]
    right = (logits.argmax(2) == problem._test_labels).double().mean(1)
    torch.testing.assert_close(problem.test_accuracy(run.weight), right)
