"""The problems, one file each."""

from colarepro.theory.problems.counterexample import Counterexample, CounterexampleSpec
from colarepro.theory.problems.digits import DigitsSpec, DigitsTransfer
from colarepro.theory.problems.factorization import FactorizationSpec, MatrixFactorization
from colarepro.theory.problems.regression import LowRankRegression, RegressionSpec
from colarepro.theory.problems.robust import RobustRegression, RobustSpec
from colarepro.theory.problems.softmax import SoftmaxRegression, SoftmaxSpec
from colarepro.theory.problems.two_layer import TwoLayerLinear, TwoLayerSpec

__all__ = [
    "Counterexample",
    "CounterexampleSpec",
    "DigitsSpec",
    "DigitsTransfer",
    "FactorizationSpec",
    "LowRankRegression",
    "MatrixFactorization",
    "RegressionSpec",
    "RobustRegression",
    "RobustSpec",
    "SoftmaxRegression",
    "SoftmaxSpec",
    "TwoLayerLinear",
    "TwoLayerSpec",
]
