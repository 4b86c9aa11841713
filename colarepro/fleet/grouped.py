"""Products in which every token meets its own run's weights alone.

The runs' tokens stand one after another; ``ends`` says where each run's end, int32 (runs,), the last at all tokens.
torch's grouped product computes them. It is wrapped as an operator of its own, since a compiler that looks into it asks
the sizes' alignment of symbols.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import grouped_mm

from colarepro.fleet.packed import current


def over_tokens(product: Callable[[Tensor, Tensor, Tensor], Tensor], x: Tensor, weights: Tensor) -> Tensor:
    """The product of the current batch's tokens, ``x`` (1, tokens, in) or (tokens, in), as some models have it."""
    flat = x.flatten(0, -2)
    return product(flat, weights, current().ends).view(*x.shape[:-1], -1)


@torch.library.custom_op("colarepro::grouped_linear", mutates_args=())
def grouped_linear(x: Tensor, weights: Tensor, ends: Tensor) -> Tensor:
    """``x`` (tokens, in) times ``weights`` (runs, out, in), transposed: (tokens, out)."""
    return grouped_mm(x, weights.transpose(1, 2), offs=ends)


@torch.library.custom_op("colarepro::grouped_product", mutates_args=())
def grouped_product(x: Tensor, weights: Tensor, ends: Tensor) -> Tensor:
    """``x`` (tokens, in) times ``weights`` (runs, in, out): (tokens, out)."""
    return grouped_mm(x, weights, offs=ends)


@torch.library.custom_op("colarepro::grouped_sum", mutates_args=())
def grouped_sum(x: Tensor, y: Tensor, ends: Tensor) -> Tensor:
    """Sum over each run's tokens of the products of ``x`` (tokens, left) and ``y`` (tokens, right): (runs, left,
    right), the gradient of a run's weights."""
    return grouped_mm(x.T, y, offs=ends)


@grouped_linear.register_fake
def _(x: Tensor, weights: Tensor, ends: Tensor) -> Tensor:
    return x.new_empty(x.shape[0], weights.shape[1])


@grouped_product.register_fake
def _(x: Tensor, weights: Tensor, ends: Tensor) -> Tensor:
    return x.new_empty(x.shape[0], weights.shape[2])


@grouped_sum.register_fake
def _(x: Tensor, y: Tensor, ends: Tensor) -> Tensor:
    return x.new_empty(ends.shape[0], x.shape[1], y.shape[1])


def _save(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _backward_linear(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor, None]:
    x, weights, ends = ctx.saved_tensors
    gradient = gradient.contiguous()
    to_x = grouped_product(gradient, weights, ends) if ctx.needs_input_grad[0] else None
    return to_x, grouped_sum(gradient, x, ends), None


def _backward_product(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor, None]:
    x, weights, ends = ctx.saved_tensors
    gradient = gradient.contiguous()
    to_x = grouped_linear(gradient, weights, ends) if ctx.needs_input_grad[0] else None
    return to_x, grouped_sum(x, gradient, ends), None


grouped_linear.register_autograd(_backward_linear, setup_context=_save)
grouped_product.register_autograd(_backward_product, setup_context=_save)
