"""Whole models of all runs side by side, for full fine-tuning."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm, rms_norm
from transformers.models.opt.modeling_opt import OPTLearnedPositionalEmbedding
from transformers.pytorch_utils import Conv1D

from colarepro.fleet.adapters import refuse_unfit
from colarepro.fleet.arm import Arm
from colarepro.fleet.group import UnfitError
from colarepro.fleet.grouped import grouped_linear, grouped_product, grouped_sum, over_tokens
from colarepro.fleet.norms import FusedNorm
from colarepro.fleet.packed import current
from colarepro.fleet.stack import ALIGNED, Stack


class Weights(Stack):
    """A run's numbers are its model's parameters, each once, in the model's order.

    In a narrow dtype all layers compute in it, where autocast leaves norms, embeddings and the sums between layers in
    float32.
    """

    def __init__(
        self, arms: Sequence[Arm], model: Any, verbalizers: Sequence[int], device: str, dtype: torch.dtype
    ) -> None:
        head = model.get_output_embeddings()
        refuse_unfit([m for m in model.modules() if type(m) in (nn.Linear, Conv1D) and m is not head], head, dtype)
        starts: dict[nn.Parameter, int] = {}
        width = 0
        for parameter in model.parameters():  # a tied one once
            starts[parameter] = width
            width += -(-parameter.numel() // ALIGNED) * ALIGNED
        super().__init__(arms, width, device, dtype)
        for parameter, start in starts.items():
            self.values[:, start : start + parameter.numel()] = parameter.detach().flatten().float()
        self.round()
        leaves = {parameter: self.leaf(start, parameter.shape) for parameter, start in starts.items()}
        for module, name, child in list(_own_parameters(model)):
            if child is head:
                continue
            setattr(module, name, _stacked(child, leaves))
        bias = None if head.bias is None else leaves[head.bias]
        model.set_output_embeddings(StackedLabelRows(leaves[head.weight], bias, verbalizers))


def _own_parameters(model: nn.Module) -> Iterator[tuple[nn.Module, str, nn.Module]]:
    """Every module with parameters of its own: its parent, its name there, itself."""
    for parent in model.modules():
        for name, child in parent.named_children():
            if child._parameters:
                yield parent, name, child


def _stacked(module: nn.Module, leaves: dict[nn.Parameter, Tensor]) -> nn.Module:
    weight: Any = module.weight
    bias: Any = getattr(module, "bias", None)
    stacked = leaves[weight], None if bias is None else leaves[bias]
    kind: type[nn.Module] | None = {
        nn.Linear: StackedLinear,
        Conv1D: StackedConv1D,
        nn.Embedding: StackedEmbedding,
    }.get(type(module))
    if kind is not None:
        return kind(*stacked)
    if isinstance(module, OPTLearnedPositionalEmbedding):
        return StackedPositions(*stacked, offset=module.offset)
    if isinstance(module, FusedNorm):
        return StackedNorm(*stacked, module.epsilon)
    if type(module) is nn.LayerNorm:
        return StackedLayerNorm(*stacked, module.eps)
    raise UnfitError(f"A {type(module).__name__} of several runs cannot be computed at once; such runs sail alone.")


class _Stacked(nn.Module):
    """A layer with a weight and a bias of every run: (1, tokens, in) to (1, tokens, out), or both without the one."""

    def __init__(self, weight: Tensor, bias: Tensor | None, epsilon: float = 0.0) -> None:
        super().__init__()
        self.weight, self.bias, self.epsilon = weight, bias, epsilon

    def shifted(self, x: Tensor) -> Tensor:
        return x if self.bias is None else x + _of_each_token(self.bias, x)


class StackedLinear(_Stacked):
    def forward(self, x: Tensor) -> Tensor:
        return self.shifted(over_tokens(grouped_linear, x, self.weight))


class StackedConv1D(_Stacked):
    """GPT-2's, whose weight is (in, out)."""

    def forward(self, x: Tensor) -> Tensor:
        return self.shifted(over_tokens(grouped_product, x, self.weight))


class StackedEmbedding(_Stacked):
    def forward(self, ids: Tensor) -> Tensor:
        return self.weight[_owners(ids.shape[1]), ids[0]].unsqueeze(0)


class StackedPositions(StackedEmbedding):
    """OPT's, whose places begin at an offset."""

    def __init__(self, weight: Tensor, bias: Tensor | None, offset: int) -> None:
        super().__init__(weight, bias)
        self.offset = offset

    def forward(self, attention_mask: Tensor, past: int, position_ids: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(position_ids + self.offset)


class StackedNorm(_Stacked):
    def forward(self, x: Tensor) -> Tensor:
        return rms_norm(x, x.shape[-1:], None, self.epsilon) * _of_each_token(self.weight, x)


class StackedLayerNorm(_Stacked):
    def forward(self, x: Tensor) -> Tensor:
        return self.shifted(layer_norm(x, x.shape[-1:], None, None, self.epsilon) * _of_each_token(self.weight, x))


class StackedLabelRows(nn.Module):
    """Some rows of every run's output embedding: (1, prompts, width) to (1, prompts, len(tokens))."""

    def __init__(self, weight: Tensor, bias: Tensor | None, tokens: Sequence[int]) -> None:
        super().__init__()
        # In a tuple, lest a weight tied to the input embedding appear twice.
        self._head = weight, bias
        self._tokens = torch.tensor(list(tokens), device=weight.device)

    def forward(self, hidden: Tensor) -> Tensor:
        weight, bias = self._head
        runs = current().runs
        logits = torch.einsum("plw,pw->pl", weight[:, self._tokens][runs], hidden[0])
        return (logits if bias is None else logits + bias[:, self._tokens][runs]).unsqueeze(0)


def _owners(tokens: int) -> Tensor:
    """Index of the run that each token belongs to, (tokens,)."""
    ends = current().ends
    return torch.searchsorted(ends, torch.arange(tokens, device=ends.device), right=True)


def _of_each_token(vectors: Tensor, x: Tensor) -> Tensor:
    """(runs, width) as (tokens, width), for the tokens of ``x``."""
    each: Tensor = _EachToken.apply(vectors, _owners(x.shape[-2]), current().ends)
    return each


class _EachToken(torch.autograd.Function):
    """A run's vector for each of its tokens. Its gradient is a product within each run, so that what is not finite in
    one run stays there, and no sum goes through a sort."""

    @staticmethod
    def forward(context: Any, vectors: Tensor, owners: Tensor, ends: Tensor) -> Tensor:
        context.save_for_backward(ends)
        return vectors.index_select(0, owners)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (ends,) = context.saved_tensors
        ones = gradient.new_ones(len(gradient), ALIGNED)  # one column would do, were it not for alignment
        return grouped_sum(ones, gradient.contiguous(), ends)[:, 0], None, None
