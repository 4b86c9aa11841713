"""The Frank-Wolfe gap of the training loss, and a link as a linear minimization oracle.

The weights of all targets are one point W = W0 + delta. The set K is the product of the nuclear-norm balls of radius
tau_l round each W0_l, so that the best vertex is found layer by layer: -tau_l u v^T of the gradient's leading pair.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from colarepro.anatomy.spectrum import singular_values
from colarepro.chain.target import Factors, Target, full_precision
from colarepro.models.candidates import candidate_batch, candidate_scores
from colarepro.tasks import Encoded
from colarepro.theory.leading_pair import leading_pair

TOLERANCE = 1e-4  # of a residual; the singular value is then good to about its square


@dataclass(frozen=True)
class Slope:
    """The gradient of one target's full weight, (out, in) float32, and its leading singular pair."""

    gradient: Tensor
    value: float
    left: Tensor
    right: Tensor

    @property
    def norm(self) -> float:
        """The Frobenius norm."""
        return float(torch.linalg.vector_norm(self.gradient))

    def inner(self, update: Factors) -> float:
        """<gradient, update>, without the update as a matrix."""
        A, B = update.A.to(self.gradient), update.B.to(self.gradient)
        with full_precision(self.gradient.device.type):
            return float(((B.T @ self.gradient) * A).sum())

    def along_top(self, update: Factors) -> float:
        """<-u v^T, update>, where u and v are the leading pair."""
        A, B = update.A.to(self.gradient), update.B.to(self.gradient)
        return -float((self.left @ B) @ (A @ self.right))


@dataclass(frozen=True)
class Oracle:
    """A link's total update D as an answer to the question that the gradient G at the link's start put.

    ``shortfall`` is sigma_1(G) + <G, D> / |D|_*, which is the oracle's additive error in a ball of radius 1; the error
    of the whole answer, the epsilon of equation (1) of arXiv 2401.04151, is its sum over targets times their radius.
    ``share`` is that of sigma_1(G): 0 is an exact oracle, 1 gains nothing. ``cosine_top`` is the cosine between D
    and the best vertex's direction -u v^T, ``cosine_gradient`` that between D and -G.
    """

    shortfall: float
    share: float
    cosine_top: float
    cosine_gradient: float


def oracle(slope: Slope, link: Factors) -> Oracle:
    """What a link's update is worth as an oracle's answer; NaN for a link or a gradient that is zero."""
    values = singular_values(link)
    nuclear, size = float(values.sum()), float(torch.linalg.vector_norm(values))
    if nuclear == 0 or slope.value == 0:
        return Oracle(np.nan, np.nan, np.nan, np.nan)
    inner = slope.inner(link)
    shortfall = slope.value + inner / nuclear
    return Oracle(shortfall, shortfall / slope.value, slope.along_top(link) / size, -inner / (size * slope.norm))


def frank_wolfe_gap(inner: np.ndarray, largest: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """max over V in K of <gradient, W - V>, (points,): the sum over targets of <G, delta> + tau sigma_1(G).

    ``inner`` and ``largest`` are (points, targets), ``radius`` (targets,). At least 0 for every W in K.
    """
    return np.asarray((inner + radius * largest).sum(-1))


@dataclass(frozen=True)
class Sample:
    """Examples in batches of about equal lengths, on the model's device."""

    batches: list[tuple[dict[str, Tensor], Tensor]]
    candidates: list[list[int]]
    examples: int


def sample_of(encoded: Encoded, examples: int, pad: int, batch_size: int, device: str) -> Sample:
    """The first ``examples`` of them, or all there are; a draw is in random order."""
    count = min(examples, len(encoded.prompts))
    longest_first = sorted(range(count), key=lambda i: -len(encoded.prompts[i]))
    batches = []
    for start in range(0, count, batch_size):
        chosen = longest_first[start : start + batch_size]
        batch = candidate_batch([encoded.prompts[i] for i in chosen], encoded.candidates, pad)
        labels = torch.tensor([encoded.labels[i] for i in chosen], device=device)
        batches.append(({name: part.to(device) for name, part in batch.items()}, labels))
    return Sample(batches, encoded.candidates, count)


def slopes(model: Any, targets: Sequence[Target], sample: Sample) -> tuple[float, dict[str, Slope]]:
    """The mean loss over the sample, and its gradient with respect to every target's full weight.

    That weight is the base's plus the link's; its gradient is the sum over positions of the output's gradient times
    the input, summed in float32. No parameter's ``grad`` is touched; the model should be in evaluation mode.
    """
    gradients: dict[str, Tensor] = {}
    total = 0.0
    for batch, labels in sample.batches:
        seen: dict[str, tuple[Tensor, Tensor]] = {}
        hooks = [target.layer.register_forward_hook(_keep(seen, target.name)) for target in targets]
        try:
            scores = candidate_scores(model, batch, sample.candidates)
        finally:
            for hook in hooks:
                hook.remove()
        loss = cross_entropy(scores, labels, reduction="sum") / sample.examples
        total += loss.item()
        by_output = torch.autograd.grad(loss, [seen[target.name][1] for target in targets])
        for target, gradient in zip(targets, by_output, strict=True):
            inputs = seen[target.name][0].flatten(0, -2).float()
            with full_precision(inputs.device.type):
                product = gradient.flatten(0, -2).float().T @ inputs
            gradients[target.name] = gradients[target.name] + product if target.name in gradients else product
    return total, _with_pairs(gradients)


def _keep(seen: dict[str, tuple[Tensor, Tensor]], name: str) -> Any:
    def hook(_: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        seen[name] = inputs[0].detach(), output

    return hook


def _with_pairs(gradients: dict[str, Tensor]) -> dict[str, Slope]:
    """Leading pairs, of all targets of one shape at once."""
    by_shape: dict[torch.Size, list[str]] = {}
    for name, gradient in gradients.items():
        by_shape.setdefault(gradient.shape, []).append(name)
    found: dict[str, Slope] = {}
    for shape, names in by_shape.items():
        stacked = torch.stack([gradients[name] for name in names])
        with full_precision(stacked.device.type):
            pair = leading_pair(*_products(stacked), torch.zeros(len(names), shape[1]), TOLERANCE)
        for place, name in enumerate(names):
            left, right = pair.left[place].to(stacked.device), pair.right[place].to(stacked.device)
            found[name] = Slope(gradients[name], float(pair.value[place]), left, right)
    return found


def _products(stacked: Tensor) -> tuple[Any, Any]:
    """With vectors that live on the host, wherever the matrices are."""

    def times(x: Tensor) -> Tensor:
        return (stacked @ x.to(stacked.device)[:, :, None])[:, :, 0].cpu()

    def transposed(y: Tensor) -> Tensor:
        return (y.to(stacked.device)[:, None] @ stacked)[:, 0].cpu()

    return times, transposed
