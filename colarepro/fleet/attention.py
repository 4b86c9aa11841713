"""Attention over packed prompts, each within itself."""

import inspect
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention.varlen import varlen_attn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface

from colarepro.fleet.group import UnfitError
from colarepro.fleet.packed import Packed, current

NAME = "colarepro_packed"

_HARMLESS = {"position_ids", "is_causal", "use_cache", "cache_position", "logits_to_keep", "output_attentions"}
"""Options that change nothing here: packing has its own positions, and every mask is causal."""

_CAUSAL: dict[str, Any] = {"window_size": (-1, 0)}
if "enable_gqa" in inspect.signature(varlen_attn).parameters:  # before torch 2.13 that needs no asking
    _CAUSAL["enable_gqa"] = True


def has_ragged_attention(device: str, dtype: torch.dtype) -> bool:
    """Whether torch's attention over sequences of unequal length serves: on a GPU, in a 16-bit type."""
    return device.startswith("cuda") and dtype in (torch.bfloat16, torch.float16)


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
    unknown = [name for name, value in options.items() if value is not None and name not in _HARMLESS]
    if dropout or unknown:
        raise UnfitError(
            f"This model's attention has {' and '.join(unknown) or 'dropout'}, with which runs cannot share a base."
        )
    packed = current()
    parts = (query[0].transpose(0, 1), key[0].transpose(0, 1), value[0].transpose(0, 1))
    if has_ragged_attention(query.device.type, query.dtype):
        bounds, longest = packed.bounds, packed.reach.shape[0]
        out = varlen_attn(*parts, bounds, bounds, longest, longest, scale=scaling, **_CAUSAL)
        assert isinstance(out, Tensor)  # with its logarithms only where asked for
        return out.unsqueeze(0), None
    return _spread_out(packed, *parts, scaling).unsqueeze(0), None


def _spread_out(packed: Packed, query: Tensor, key: Tensor, value: Tensor, scaling: float | None) -> Tensor:
    """The same for any device and dtype, in a rectangle with the prompts at its left: a causal mask alone keeps every
    token from the padding."""
    longest, bounds = packed.reach.shape[0], packed.bounds.long()
    places = torch.arange(query.shape[0], device=query.device)
    row = torch.searchsorted(bounds[1:], places, right=True)
    rows, slots = bounds.shape[0] - 1, row * longest + places - bounds[row]

    def spread(part: Tensor) -> Tensor:
        rectangle = part.new_zeros(rows * longest, *part.shape[1:]).index_copy(0, slots, part)
        return rectangle.view(rows, longest, *part.shape[1:]).transpose(1, 2)

    out = scaled_dot_product_attention(
        spread(query),
        spread(key),
        spread(value),
        is_causal=True,
        scale=scaling,
        enable_gqa=bool(query.shape[1] != key.shape[1]),
    )
    return out.transpose(1, 2).flatten(0, 1).index_select(0, slots)


def _no_mask(*_: Any, **__: Any) -> None:
    """Packed attention needs no mask."""


AttentionInterface.register(NAME, packed_attention)
AttentionMaskInterface.register(NAME, _no_mask)
