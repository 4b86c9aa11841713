"""The problems, one file each."""

from colarepro.theory.problems.counterexample import Counterexample, CounterexampleSpec
from colarepro.theory.problems.factorization import FactorizationSpec, MatrixFactorization
from colarepro.theory.problems.regression import LowRankRegression, RegressionSpec

__all__ = [
    "Counterexample",
    "CounterexampleSpec",
    "FactorizationSpec",
    "LowRankRegression",
    "MatrixFactorization",
    "RegressionSpec",
]
