"""A small tanh network on real data: pre-trained on the digits 0-4, fine-tuned on 5-9.

The offline cousin of RAC-LoRA's MNIST table (arXiv 2410.08305, Table 3), on the 8 x 8 images of scikit-learn.
"""

import dataclasses
import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from colarepro.errors import ColaError
from colarepro.theory.problem import Problem, check_matrices, check_radius
from colarepro.theory.problems.labels import LARGEST_BEND, LARGEST_ERROR, check_labels, cross_entropy, probability_error
from colarepro.theory.problems.layers import outputs_beside, side_by_side, split
from colarepro.theory.problems.linear_task import largest_gram_eigenvalue, stack_draws
from colarepro.theory.problems.regression import take_rows
from colarepro.theory.spectral import spectral_norm

CLASSES = 5  # of each half: 0-4 and 5-9
SMALLEST_CLASS = 174  # images of the digit 8, the least of all
PIXELS = 64
LARGEST_CURVE = 4 / (3 * math.sqrt(3))  # sup |tanh''|, at tanh^2 = 1/3


class DigitsTransfer(Problem):
    """loss(W) = mean cross-entropy of the logits W2 tanh(W1 x), with W = [W1 | W2^T] (S, hidden, inputs + classes).

    Both layers are trained, see `layers`; inputs are (S, N, inputs), labels (S, N). ``best_value`` is 0, a lower
    bound. The test loss is the same mean over the test images; ``test_accuracy`` goes with it.

    ``smoothness`` holds for all W within the Frobenius distance ``region`` = ρ of ``start``, not beyond. Along
    D = (D1, D2), |D|_F = 1, a sample's second derivative is z'^T (diag p - p p^T) z' + (p - y)^T z'', where
    |diag p - p p^T| <= 1/2 and |p - y| <= sqrt(2) (`labels`), and with h = tanh(W1 x), u = D1 x
      z' = D2 h + W2 (tanh' u),  z'' = 2 D2 (tanh' u) + W2 (tanh'' u^2),  |tanh'| <= 1, |tanh''| <= κ = 4 / (3 sqrt 3).
    Let Λ = lambda_max(X^T X / N), so mean |u|^2 <= Λ |D1|^2, and at the start let H be the norm of the matrix of all h
    over sqrt(N) and w = |W2|. Within the region these are at most H + sqrt(Λ) ρ1 and w + ρ2, ρ1^2 + ρ2^2 <= ρ^2, so
      mean |z'|^2 <= (H + sqrt(Λ) ρ1)^2 + Λ (w + ρ2)^2 <= (sqrt(H^2 + Λ w^2) + sqrt(Λ) ρ)^2,
      mean |z''| <= 2 sqrt(Λ) |D1| |D2| + q |D1|^2 <= (q + sqrt(q^2 + 4 Λ)) / 2,  q = κ Λ (w + ρ).
    ``smoothness`` is half the first bound plus sqrt(2) times the second.
    """

    name = "digits"

    def __init__(
        self,
        inputs: Tensor,
        labels: Tensor,
        start: Tensor,
        test_inputs: Tensor,
        test_labels: Tensor,
        *,
        region: float = 1.0,
    ) -> None:
        check_radius(region)
        self.start = check_matrices("starting weight", start)
        count, hidden, _ = self.start.shape
        self._inputs = check_matrices("input matrix", inputs, count, None, None)
        classes, self.samples, n = outputs_beside(self.start, self._inputs, 2), *self._inputs.shape[1:]
        self._labels = check_labels("labels", labels, count, self.samples, classes)
        self._test_inputs = check_matrices("test input matrix", test_inputs, count, None, n)
        self._test_labels = check_labels("test labels", test_labels, count, self._test_inputs.shape[1], classes)
        self.region = float(region)
        self.gradient_flops = self.samples * hidden * (4 * n + 6 * classes)
        self.smoothness = self._bound()
        self.best_value = torch.zeros_like(self.smoothness)

    def loss(self, weight: Tensor) -> Tensor:
        return cross_entropy(_logits(weight, self._inputs), self._labels)

    def gradient(self, weight: Tensor) -> Tensor:
        return _gradient(weight, self._inputs, self._labels)

    def sampled_gradient(self, weight: Tensor, rows: Tensor) -> Tensor:
        return _gradient(weight, take_rows(self._inputs, rows), self._labels.gather(1, rows))

    def test_loss(self, weight: Tensor) -> Tensor:
        return cross_entropy(_logits(weight, self._test_inputs), self._test_labels)

    def test_accuracy(self, weight: Tensor) -> Tensor:
        """Shares (S,) of the test images whose largest logit is their label's."""
        return (_logits(weight, self._test_inputs).argmax(2) == self._test_labels).to(torch.float64).mean(1)

    def _bound(self) -> Tensor:
        first, second = split(self.start, self._inputs.shape[2])
        hidden = (self._inputs @ first.mT).tanh()
        spread, norm = largest_gram_eigenvalue(self._inputs), spectral_norm(second)
        largest = torch.linalg.eigvalsh(hidden.mT @ hidden / self.samples)[:, -1]
        bend = ((largest + spread * norm.square()).sqrt() + spread.sqrt() * self.region).square()
        q = LARGEST_CURVE * spread * (norm + self.region)
        return LARGEST_BEND * bend + LARGEST_ERROR * (q + (q.square() + 4 * spread).sqrt()) / 2


def _logits(weight: Tensor, inputs: Tensor) -> Tensor:
    first, second = split(weight, inputs.shape[-1])
    return (inputs @ first.mT).tanh() @ second.mT


def _gradient(weight: Tensor, inputs: Tensor, labels: Tensor) -> Tensor:
    first, second = split(weight, inputs.shape[-1])
    hidden = (inputs @ first.mT).tanh()
    error = probability_error(hidden @ second.mT, labels) / inputs.shape[-2]
    back = (error @ second) * (1 - hidden.square())
    return side_by_side(back.mT @ inputs, error.mT @ hidden)


@dataclass(frozen=True, kw_only=True)
class DigitsSpec:
    """``images`` training images of each digit from 5 to 9 (labels 0 to 4), drawn anew for every seed; the rest tests.

    The network has ``hidden`` units and no biases, but a constant input. Each seed has its own weights,
    pre-trained on all images of the digits 0 to 4. ``region`` is the radius of the Frobenius ball on which the
    smoothness constant holds.
    """

    hidden: int = 32
    images: int = 100
    region: float = 2.0

    def __post_init__(self) -> None:
        check_radius(self.region)
        if self.hidden < 1 or not 1 <= self.images < SMALLEST_CLASS:
            raise ColaError(
                f"A network of {self.hidden} hidden units and {self.images} training images a digit was asked for; "
                f"expected at least 1, and 1 to {SMALLEST_CLASS - 1}."
            )

    def config(self) -> dict[str, Any]:
        return {"name": DigitsTransfer.name, **dataclasses.asdict(self)}

    def draw(self, seeds: Sequence[int]) -> DigitsTransfer:
        return DigitsTransfer(*stack_draws(self._draw, seeds), region=self.region)

    def _draw(self, seed: int) -> tuple[Tensor, ...]:
        inputs, labels = _images()
        start, orders = _pretrained(self.hidden, seed)
        train = torch.cat([order[: self.images] for order in orders])
        test = torch.cat([order[self.images :] for order in orders])
        return inputs[train], labels[train] - CLASSES, start, inputs[test], labels[test] - CLASSES


@functools.cache
def _images() -> tuple[Tensor, Tensor]:
    """All images (1797, 65) and their digits: pixels from 0 to 1 less their means over the digits 0-4, then a 1."""
    from sklearn.datasets import load_digits  # a second to import, so only here

    data = load_digits()
    pixels, labels = torch.from_numpy(data.data) / 16, torch.from_numpy(data.target)
    pixels -= pixels[labels < CLASSES].mean(0)
    return torch.cat([pixels, torch.ones_like(pixels[:, :1])], 1), labels


@functools.lru_cache(maxsize=256)
def _pretrained(hidden: int, seed: int) -> tuple[Tensor, list[Tensor]]:
    """The seed's W after 60 steps of AdamW on the digits 0-4, and an order of the images of each digit from 5 to 9."""
    generator = torch.Generator().manual_seed(seed)
    inputs, labels = _images()
    orders = []
    for digit in range(CLASSES, 2 * CLASSES):
        own = torch.nonzero(labels == digit)[:, 0]
        orders.append(own[torch.randperm(len(own), generator=generator)])
    first = torch.randn(hidden, PIXELS + 1, dtype=torch.float64, generator=generator) / math.sqrt(PIXELS + 1)
    second = torch.randn(CLASSES, hidden, dtype=torch.float64, generator=generator) / math.sqrt(hidden)
    weight = nn.Parameter(side_by_side(first, second)[None])
    optimizer = torch.optim.AdamW([weight], lr=0.01, weight_decay=0.0)
    old = labels < CLASSES
    inputs, labels = inputs[old][None], labels[old][None]
    for _ in range(60):
        weight.grad = _gradient(weight.detach(), inputs, labels)
        optimizer.step()
    return weight.detach()[0], orders
