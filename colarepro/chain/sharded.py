"""Tensors of which every rank holds a part: PyTorch's DTensor, as FSDP2 makes of weights.

What is said here of a tensor's ranks are those of its device mesh. A tensor that is not sharded is whole, and its own
part is itself.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import reduce
from typing import TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor
from torch.distributed.tensor._utils import compute_local_shape_and_global_offset

T = TypeVar("T")


def is_sharded(tensor: Tensor) -> bool:
    """Whether ranks hold parts of the tensor."""
    return isinstance(tensor, DTensor)


def is_regular(tensor: Tensor) -> bool:
    """Whether the parts are blocks: rows, as FSDP2 cuts them, or columns; not, for one, rows cut twice."""
    return not isinstance(tensor, DTensor) or all(type(place) in (Shard, Replicate) for place in tensor.placements)


def own(tensor: Tensor) -> Tensor:
    """This rank's part, which shares the tensor's memory."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def own_block(tensor: Tensor) -> tuple[slice, ...]:
    """Where this rank's part lies, a slice for each dimension."""
    if not isinstance(tensor, DTensor):
        return tuple(slice(0, size) for size in tensor.shape)
    shape, offset = compute_local_shape_and_global_offset(tensor.shape, tensor.device_mesh, tensor.placements)
    return tuple(slice(start, start + size) for start, size in zip(offset, shape, strict=True))


def whole(tensor: Tensor) -> Tensor:
    """The tensor gathered on every rank; all must ask."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def over_parts(tensor: Tensor, value: T, combine: Callable[[T, T], T]) -> T:
    """Every rank's ``value`` for its part of the tensor, each part once, combined; all must ask."""
    if isinstance(tensor, DTensor):
        for dimension, place in enumerate(tensor.placements):
            if place.is_shard():
                group = tensor.device_mesh.get_group(dimension)
                values: list[T] = [value] * distributed.get_world_size(group)
                distributed.all_gather_object(values, value, group=group)
                value = reduce(combine, values)
    return value


@contextmanager
def made_whole(modules: list[nn.Module]) -> Iterator[None]:
    """Within the block the modules' own sharded parameters are whole ones of undefined values, to be set the same on
    every rank; afterwards the sharded ones are back, and hold what was set."""
    sharded = [
        (module, name, parameter)
        for module in modules
        for name, parameter in module.named_parameters(recurse=False)
        if isinstance(parameter, DTensor)
    ]
    for module, name, parameter in sharded:
        empty = torch.empty(parameter.shape, dtype=parameter.dtype, device=parameter.device)
        module.register_parameter(name, nn.Parameter(empty, requires_grad=parameter.requires_grad))
    try:
        yield
        with torch.no_grad():
            for module, name, parameter in sharded:
                set_whole(parameter, getattr(module, name).detach())
    finally:
        for module, name, parameter in sharded:
            module.register_parameter(name, parameter)


def set_whole(tensor: Tensor, value: Tensor) -> None:
    """Let a tensor, or every rank's part of it, hold ``value``, which is whole and the same on every rank."""
    if isinstance(tensor, DTensor):
        value = value.to(tensor.device)
        # No rank sends: all have the same.
        value = distribute_tensor(value, tensor.device_mesh, tensor.placements, src_data_rank=None)
    tensor.copy_(value)


def reshard(model: nn.Module) -> None:
    """Let FSDP2 free what it gathered for a forward pass, so that parameters are shards again."""
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.reshard()
