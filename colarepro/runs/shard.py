"""The frozen weights of a run, shared out among its processes."""

from typing import Any

from torch import Tensor, nn
from torch.distributed import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.utils._pytree import tree_map_only

from colarepro.runs import ranks


def shard(model: Any, device: str) -> None:
    """Let FSDP2 hold of every frozen weight one part on each rank, and gather a layer's when it computes.

    What is trained, which is small, stays whole on every rank: a link's tensors, the optimizer's state and checkpoints
    are then those of one process. ``model`` is a PEFT model.
    """
    trained = {parameter for parameter in model.parameters() if parameter.requires_grad}
    mesh = init_device_mesh(device.partition(":")[0], (ranks.count(),))
    inner = model.get_base_model()
    layers = set(inner._no_split_modules or ())
    for module in inner.modules():
        if type(module).__name__ in layers:
            module.register_forward_hook(_own_memory)
            fully_shard(module, mesh=mesh, ignored_params=trained)
    fully_shard(inner, mesh=mesh, ignored_params=trained)


def _own_memory(module: nn.Module, inputs: Any, output: Any) -> Any:
    """OPT's layers return a view, over which a change in place would drop FSDP2's hook, as it warns."""
    return tree_map_only(Tensor, lambda part: part.clone() if part._is_view() else part, output)
