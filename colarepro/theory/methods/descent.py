"""The two inner optimizers of the gradient methods and how their steps are set."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from colarepro.errors import ColaError


@dataclass(frozen=True)
class GradientDescent:
    """Step ``factor / L``. ``smoothness`` says whose L.

    ``"local"``: that of the method's own objective where it stands. Over W it is the problem's L. Over the
    factors of W0 + B A it is ``L (|A|^2 + |B|^2) + |G|`` (spectral norms, G the gradient at W), which
    bounds the Hessian of (A, B) -> loss there: its quadratic form is at most
    ``L |dB A + B dA|_F^2 + 2 <G, dB dA>``. Over B alone it is ``L |A|^2``.
    `squared_norm_bound` stands for the squares of the factors' norms.
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

    def optimizer(self, parameters: Sequence[nn.Parameter]) -> torch.optim.Optimizer:
        """Plain SGD, whose rate its user sets; it has no state. `apply` takes such a step without it."""
        return torch.optim.SGD(parameters, lr=1.0)


@dataclass(frozen=True)
class AdamW:
    """torch's AdamW without weight decay, at a constant rate; it works entry by entry, so seeds stay apart."""

    learning_rate: float
    kind: ClassVar[str] = "adamw"

    def __post_init__(self) -> None:
        if not 0 < self.learning_rate < math.inf:
            raise ColaError(f"The learning rate is {self.learning_rate}; expected a finite number above 0.")

    def optimizer(self, parameters: Sequence[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.AdamW(parameters, lr=self.learning_rate, weight_decay=0.0)


Descent = GradientDescent | AdamW


def apply(
    descent: Descent,
    optimizer: torch.optim.Optimizer,
    parameters: Sequence[nn.Parameter],
    gradients: Sequence[Tensor],
    smoothness: Tensor,
    warmth: float = 1.0,
) -> None:
    """One step of the optimizer with gradients (S, ...) for an objective of local ``smoothness`` (S,); ``warmth``
    scales the step (a warm-up's share)."""
    if isinstance(descent, GradientDescent):  # every seed has its own step, and torch's machinery costs more than it
        scale = (descent.factor * warmth / smoothness)[:, None, None]
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.data.sub_(scale * gradient)
        return
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient
    optimizer.param_groups[0]["lr"] = descent.learning_rate * warmth
    optimizer.step()


def squared_norm_bound(factor: Tensor) -> Tensor:
    """Upper bounds (S,) on the squared spectral norms of factors (S, r, n) or (S, m, r), at most r^(1/4) too large.

    The Frobenius norm of the squared r x r Gram matrix, and its root: no eigenvalues a step, which cost more than
    everything else in it. For rank 1 it is exact.
    """
    gram = factor @ factor.mT if factor.shape[1] <= factor.shape[2] else factor.mT @ factor
    if gram.shape[1] == 1:
        return gram[:, 0, 0]
    return torch.linalg.matrix_norm(gram @ gram).sqrt()
