"""A chain of hundreds of knots is as light at its end as at its beginning."""

import gc
import sys
from contextlib import nullcontext
from typing import Any

import psutil
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from colarepro.chain import Chain, Schedule
from tests.chain.models import adamw, peft_model, tokens

KNOTS = 500
MEASURED = (10, 11, 100, 255, 400, 500)
"""Knots after which everything is counted; ten is when a stacked past has long been as large as it gets."""


class Operations(TorchDispatchMode):
    """Counts what reaches torch's kernels, backward pass and optimizer included."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += 1
        return func(*args, **(kwargs or {}))


def bytes_of_tensors() -> int:
    """Of all storages that a Python object refers to, each once."""
    storages = {}
    for found in gc.get_objects():
        if issubclass(type(found), torch.Tensor):  # isinstance would wake what is deprecated in other packages
            storage = found.untyped_storage()
            storages[storage.data_ptr()] = storage.nbytes()
    return sum(storages.values())


def held(model: Any, chain: Chain, optimizer: torch.optim.Optimizer) -> dict[str, int]:
    """What the process and the model hold now."""
    gc.collect()
    process = psutil.Process()
    modules = list(model.modules())
    return {
        "bytes of tensors": bytes_of_tensors(),
        "objects": len(gc.get_objects()),
        "blocks": sys.getallocatedblocks(),
        "resident bytes": process.memory_info().rss,
        "open files": process.num_fds(),
        "modules": len(modules),
        "buffers": len(list(model.buffers())),
        "hooks": sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in modules),
        "states of the optimizer": len(optimizer.state),
        "parameters that it holds": sum(len(group["params"]) for group in optimizer.param_groups),
        "numbers of a checkpoint": sum(tensor.numel() for tensor in chain.links.state().values()),
    }


@pytest.mark.parametrize("fold", ["merge", "stack"])
def test_the_five_hundredth_knot_is_as_light_as_the_tenth(fold: Any) -> None:
    """Knots also cost the same: not in seconds, which a test cannot trust, but in operations."""
    model = peft_model(target_modules=["v_proj"])
    optimizer = adamw(model, learning_rate=1e-4)
    chain = Chain(model, Schedule(length=KNOTS + 1, fold=fold), total_steps=KNOTS + 1, optimizer=optimizer)
    seen: dict[int, dict[str, int]] = {}
    for step in range(1, KNOTS + 1):
        batch = tokens(step)
        operations = Operations()
        with operations if step in MEASURED else nullcontext():
            model(input_ids=batch, labels=batch).loss.backward()
            optimizer.step()
            assert chain.step()
            optimizer.zero_grad()
        if step in MEASURED:
            seen[step] = held(model, chain, optimizer) | {"operations": operations.count}
    assert chain.link == KNOTS
    assert seen[10]["operations"] > 300
    for step in MEASURED[1:]:
        grown = {name: count - seen[10][name] for name, count in seen[step].items() if count != seen[10][name]}
        assert grown.pop("objects", 0) < 10  # a few are this test's own
        assert grown.pop("blocks", 0) < 5 * KNOTS
        assert grown.pop("resident bytes", 0) < 0.01 * seen[10]["resident bytes"]
        assert not grown
