"""The two inner optimizers of the gradient methods and how their steps are set."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from colarepro.errors import ColaError


@dataclass(frozen=True)
class GradientDescent:
    """Step ``factor / L``. ``smoothness`` says whose L.

    ``"local"``: that of the method's own objective where it stands. Over W it is the problem's L. Over the
    factors of W0 + s B A it is ``L s^2 (|A|^2 + |B|^2) + s |G|`` (spectral norms, G the gradient at W), which
    bounds the Hessian of (A, B) -> loss there: its quadratic form is at most
    ``L s^2 |dB A + B dA|_F^2 + 2 s <G, dB dA>``.
    ``"problem"``: the problem's L everywhere, a constant step as the literature on LoRA's rates takes it.
    """

    factor: float = 1.0
    smoothness: str = "local"
    kind: ClassVar[str] = "gradient-descent"

    def __post_init__(self) -> None:
        if self.smoothness not in ("local", "problem"):
            raise ColaError(f"Unknown smoothness {self.smoothness!r}; expected 'local' or 'problem'.")
        if not 0 < self.factor < math.inf:
            raise ColaError(f"The step factor is {self.factor}; expected a finite number above 0.")

    def optimizer(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """Plain SGD; the method writes each step's rate into its parameter group."""
        return torch.optim.SGD(parameters, lr=0.0)


@dataclass(frozen=True)
class AdamW:
    """torch's AdamW without weight decay, at a constant rate."""

    learning_rate: float
    kind: ClassVar[str] = "adamw"

    def __post_init__(self) -> None:
        if not 0 < self.learning_rate < math.inf:
            raise ColaError(f"The learning rate is {self.learning_rate}; expected a finite number above 0.")

    def optimizer(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.AdamW(parameters, lr=self.learning_rate, weight_decay=0.0)


Descent = GradientDescent | AdamW
