"""The training loss's gradient with respect to the full weights, which no run of LoRA ever forms."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from colarepro.anatomy.sample import Sample
from colarepro.chain.target import Factors, Target, full_precision
from colarepro.models.candidates import candidate_scores
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
        with full_precision(self.gradient.device.type):
            return -float((self.left @ B) @ (A @ self.right))


def slopes(model: Any, targets: Sequence[Target], sample: Sample) -> tuple[float, dict[str, Slope]]:
    """The mean loss over the sample, and its gradient with respect to every target's full weight.

    That weight is the base's plus the link's; its gradient is the sum over positions of the output's gradient times
    the input, summed in float32. No parameter's ``grad`` is touched; the model should be in evaluation mode.
    Of a gradient that is not finite there are no slopes.
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
    return total, _with_pairs(gradients) if all(torch.isfinite(one).all() for one in gradients.values()) else {}


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
