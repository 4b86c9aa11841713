"""What the problems and their specs refuse, each in one sentence. Page: theory/README.md."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from colarepro.errors import ColaError
from colarepro.theory.problems import (
    Counterexample,
    CounterexampleSpec,
    DigitsSpec,
    DigitsTransfer,
    FactorizationSpec,
    LowRankRegression,
    MatrixFactorization,
    RegressionSpec,
    RobustRegression,
    RobustSpec,
    SoftmaxRegression,
    SoftmaxSpec,
    TwoLayerLinear,
    TwoLayerSpec,
)
from tests.theory.problem_cases import normal, whole_numbers

X, Y, W = normal(0, 2, 9, 7), normal(1, 2, 9, 5), normal(2, 2, 5, 7)
LABELS = whole_numbers(3, 5, 2, 9)
LAYERS = normal(4, 2, 3, 12)


def holed(matrix: Tensor, value: float = math.nan) -> Tensor:
    copy = matrix.clone()
    copy[-1, -1, -1] = value
    return copy


REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "NaN input": (lambda: LowRankRegression(holed(X), Y, W, X, Y), "input matrix holds a value that is not finite"),
    "samples": (lambda: LowRankRegression(X[:, :5], Y, W, X, Y), "target matrix has shape"),
    "start": (lambda: LowRankRegression(X, Y, W.mT, X, Y), "input matrix has shape"),
    "seeds": (lambda: LowRankRegression(X[:1], Y, W, X, Y), "input matrix has shape"),
    "no seeds": (lambda: LowRankRegression(X[0], Y[0], W[0], X[0], Y[0]), "starting weight has shape"),
    "zero input": (lambda: LowRankRegression(0 * X, Y, W, X, Y), "zero everywhere"),
    "matrix": (lambda: MatrixFactorization(W, W.mT, W), "matrix to factorise has shape"),
    "mask": (lambda: MatrixFactorization(W, W, W, torch.full_like(W, 0.5)), "mask must hold"),
    "empty mask": (lambda: MatrixFactorization(W, W, W, torch.zeros_like(W)), "at least one 1"),
    "infinite matrix": (lambda: MatrixFactorization(W, W, holed(W, math.inf)), "test matrix holds"),
    "copies": (lambda: Counterexample(0), "0 copies"),
    "softmax NaN": (lambda: SoftmaxRegression(X, LABELS, holed(W), X, LABELS, ridge=0.1), "starting weight holds"),
    "softmax label": (lambda: SoftmaxRegression(X, LABELS + 1, W, X, LABELS, ridge=0.1), "no class"),
    "softmax float label": (lambda: SoftmaxRegression(X, LABELS / 2, W, X, LABELS, ridge=0.1), "no class"),
    "softmax test label": (lambda: SoftmaxRegression(X, LABELS, W, X, LABELS - 1, ridge=0.1), "test labels hold"),
    "softmax labels": (lambda: SoftmaxRegression(X, LABELS[:, 1:], W, X, LABELS, ridge=0.1), "labels have shape"),
    "softmax ridge": (lambda: SoftmaxRegression(X, LABELS, W, X, LABELS, ridge=0.0), "ridge is 0"),
    "softmax zero": (lambda: SoftmaxRegression(0 * X, LABELS, W, X, LABELS, ridge=0.1), "zero everywhere"),
    "softmax tiny ridge": (lambda: SoftmaxRegression(X, LABELS, W, X, LABELS, ridge=1e-280), "no certified optimum"),
    "robust scale": (lambda: RobustRegression(X, Y, W, X, Y, scale=-1.0), "scale of the robust loss is -1"),
    "robust targets": (lambda: RobustRegression(X, holed(Y), W, X, Y), "target matrix holds"),
    "robust test": (lambda: RobustRegression(X, Y, W, X, Y[:, :3]), "test target matrix has shape"),
    "two-layer columns": (lambda: TwoLayerLinear(X, Y, LAYERS[:, :, :7], X, Y), "has 7 columns for 7 inputs"),
    "two-layer targets": (lambda: TwoLayerLinear(X, Y, LAYERS[:, :, :11], X, Y), "target matrix has shape"),
    "two-layer region": (lambda: TwoLayerLinear(X, Y, LAYERS, X, Y, region=0.0), "Radius 0"),
    "two-layer NaN": (lambda: TwoLayerLinear(X, holed(Y), LAYERS, X, Y), "target matrix holds"),
    "digits columns": (lambda: DigitsTransfer(X, LABELS, LAYERS[:, :, :8], X, LABELS), "at least 2 for the outputs"),
    "digits label": (lambda: DigitsTransfer(X, LABELS + 1, LAYERS, X, LABELS), "no class"),
    "digits region": (lambda: DigitsTransfer(X, LABELS, LAYERS, X, LABELS, region=math.inf), "Radius inf"),
    "regression rank 0": (lambda: RegressionSpec(rank=0), "Rank 0"),
    "regression rank 4": (lambda: RegressionSpec(outputs=3, rank=4), "Rank 4"),
    "regression condition": (lambda: RegressionSpec(condition=0.5), "condition"),
    "regression decay": (lambda: RegressionSpec(decay=-0.5), "decay"),
    "regression size": (lambda: RegressionSpec(size=math.nan), "size"),
    "regression noise": (lambda: RegressionSpec(noise=-1.0), "noise"),
    "regression isotropic": (lambda: RegressionSpec(isotropic=True, samples=3), "isotropic"),
    "regression samples": (lambda: RegressionSpec(samples=0), "at least one"),
    "regression seeds": (lambda: RegressionSpec().draw([]), "no seed"),
    "factorization rank": (lambda: FactorizationSpec(rank=13), "Rank 13"),
    "factorization share": (lambda: FactorizationSpec(observed=0), "share"),
    "factorization noise": (lambda: FactorizationSpec(noise=math.inf), "finite"),
    "factorization decay": (lambda: FactorizationSpec(decay=0.0), "decay"),
    "factorization seeds": (lambda: FactorizationSpec().draw([]), "no seed"),
    "counterexample seeds": (lambda: CounterexampleSpec().draw([]), "0 copies"),
    "softmax classes": (lambda: SoftmaxSpec(outputs=1, rank=1), "at least 2 classes"),
    "softmax spec ridge": (lambda: SoftmaxSpec(ridge=math.inf), "ridge of inf"),
    "softmax rank": (lambda: SoftmaxSpec(rank=6), "Rank 6"),
    "robust share": (lambda: RobustSpec(outliers=1.0), "share"),
    "robust spec scale": (lambda: RobustSpec(scale=0.0), "scale"),
    "robust noise": (lambda: RobustSpec(noise=math.nan), "noise"),
    "two-layer rank": (lambda: TwoLayerSpec(hidden=1, rank=2), "Rank 2"),
    "two-layer hidden": (lambda: TwoLayerSpec(hidden=0), "0 hidden"),
    "two-layer spec region": (lambda: TwoLayerSpec(region=-1.0), "Radius -1"),
    "digits images": (lambda: DigitsSpec(images=174), "174 training images"),
    "digits hidden": (lambda: DigitsSpec(hidden=0), "0 hidden"),
    "digits seeds": (lambda: DigitsSpec().draw([]), "no seed"),
    "best at rank": (lambda: RegressionSpec().draw([0]).best_at_rank(13), "Rank 13"),
    "softmax best at rank": (lambda: SoftmaxSpec(samples=9).draw([0]).best_at_rank(0), "Rank 0"),
    "robust best at rank": (lambda: RobustSpec().draw([0]).best_at_rank(0), "Rank 0"),
    "radius": (lambda: RegressionSpec().draw([0]).best_in_ball(-1), "Radius -1"),
    "factorization radius": (lambda: FactorizationSpec(observed=0.5).draw([0]).best_in_ball(math.nan), "Radius nan"),
    "softmax radius": (lambda: SoftmaxSpec(samples=9).draw([0]).best_in_ball(0.0), "Radius 0"),
}


@pytest.mark.parametrize(("make", "words"), REFUSED.values(), ids=REFUSED)
def test_bad_data_is_refused_in_one_sentence(make: Callable[[], object], words: str) -> None:
    with pytest.raises(ColaError, match=words) as caught:
        make()
    said = str(caught.value)
    assert said.endswith(".")
    assert "\n" not in said
