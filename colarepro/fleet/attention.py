"""Attention over packed prompts: spread out into a rectangle, attended to causally, and packed again.

Prompts stand at the left of the rectangle, so a causal mask alone keeps every token from the padding.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface

from colarepro.errors import ColaError
from colarepro.fleet.packed import Packed

NAME = "colarepro_packed"
_current: Packed | None = None


class _Spread(torch.autograd.Function):
    """(tokens, ...) into (places, ...). Slots are distinct but for what fills up, which nobody reads, so nothing is
    ever summed."""

    @staticmethod
    def forward(context: Any, packed: Tensor, slots: Tensor, places: int) -> Tensor:
        context.save_for_backward(slots)
        return packed.new_zeros(places, *packed.shape[1:]).index_copy_(0, slots, packed)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (slots,) = context.saved_tensors
        return gradient.index_select(0, slots), None, None


class _Pack(torch.autograd.Function):
    """The way back."""

    @staticmethod
    def forward(context: Any, spread: Tensor, slots: Tensor) -> Tensor:
        context.save_for_backward(slots)
        context.places = spread.shape[0]
        return spread.index_select(0, slots)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (slots,) = context.saved_tensors
        return gradient.new_zeros(context.places, *gradient.shape[1:]).index_copy_(0, slots, gradient), None


def packed_attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **options: Any,
) -> tuple[Tensor, None]:
    """What transformers calls in every layer: (1, heads, tokens, width) each, gives (1, tokens, heads, width)."""
    packed = _current
    assert packed is not None, "packed attention is used inside `packed_batch` only"
    if dropout or options.get("softcap") is not None or options.get("sliding_window") is not None:
        raise ColaError("This model's attention has dropout, a cap or a window, with which runs cannot share a base.")

    rows, longest = packed.shape.prompts + 1, packed.shape.longest  # the last row takes what fills up

    def spread(part: Tensor) -> Tensor:
        tokens = part[0].transpose(0, 1)  # (tokens, heads, width)
        rectangle = _Spread.apply(tokens, packed.slots, rows * longest)
        return rectangle.view(rows, longest, *tokens.shape[1:]).transpose(1, 2)

    out = scaled_dot_product_attention(
        spread(query),
        spread(key),
        spread(value),
        is_causal=True,
        scale=scaling,
        enable_gqa=query.shape[1] != key.shape[1],
    )
    return _Pack.apply(out.transpose(1, 2).flatten(0, 1), packed.slots).unsqueeze(0), None


def _no_mask(*_: Any, **__: Any) -> None:
    """Packed attention needs no mask."""


AttentionInterface.register(NAME, packed_attention)
AttentionMaskInterface.register(NAME, _no_mask)


@contextmanager
def packed_batch(packed: Packed) -> Iterator[None]:
    """Within the block a model whose attention is ``NAME`` sees this batch, also in its backward pass."""
    global _current
    before, _current = _current, packed
    try:
        yield
    finally:
        _current = before
