"""A chain over a model that FSDP2 shards, in a plain loop, is the chain of one process."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import distributed
from torch.distributed import init_device_mesh
from torch.distributed.fsdp import fully_shard

from colarepro.chain import Chain, Schedule
from colarepro.chain.first import draw_first_link
from tests.chain.models import adamw, logits, peft_model, tokens
from tests.ranked import on_ranks

STEPS = 6


def sharded(model: Any) -> Any:
    """The model with all its parameters, adapter included, shared out by layers."""
    from accelerate import PartialState

    PartialState(cpu=True)
    mesh = init_device_mesh("cpu", (distributed.get_world_size(),))
    for module in model.modules():
        if type(module).__name__ in ("LlamaDecoderLayer", "GPT2Block", "OPTDecoderLayer"):
            fully_shard(module, mesh=mesh)
    return fully_shard(model, mesh=mesh)


def losses(
    model: Any, schedule: Schedule, folder: Path | None = None, first: int = 0, last: int = STEPS
) -> tuple[list[float], Chain]:
    """Train on the same batch in every process; take the chain up from ``folder``, at step ``first``, or save there."""
    optimizer = adamw(model)
    chain = Chain(model, schedule, total_steps=STEPS, optimizer=optimizer)
    if first:
        assert folder is not None
        chain.load(folder)
    found = []
    for step in range(first, last):
        batch = tokens(step)
        loss = model(input_ids=batch, labels=batch).loss
        loss.backward()
        optimizer.step()
        chain.step()
        optimizer.zero_grad()
        found.append(loss.item())
    if folder is not None and not first:
        chain.save(folder)
    return found, chain


def model_of(family: str, dtype: torch.dtype = torch.float32) -> Any:
    model = peft_model(family, dtype)
    draw_first_link(model, seed=0)
    return model


SCHEDULES = {
    "merged": Schedule(knot_steps=(2, 4)),
    "stacked": Schedule(knot_steps=(2, 4), fold="stack"),
    "same A": Schedule(knot_steps=(2, 4), initialization="same"),
}


@pytest.mark.parametrize("family", ["llama", "gpt2", "opt"])
def test_two_ranks_are_one(family: str, tmp_path: Path) -> None:
    def work() -> tuple[list[float], list[torch.Tensor], torch.Tensor]:
        found, chain = losses(sharded(model := model_of(family)), SCHEDULES["merged"])
        merged = [target.layer.get_base_layer().weight.full_tensor() for target in chain.targets]
        return found, merged, logits(model)

    whole = model_of(family)
    expected, chain = losses(whole, SCHEDULES["merged"])
    for found, merged, output in on_ranks(2, tmp_path, work):
        assert found == pytest.approx(expected, rel=1e-6)
        for weight, target in zip(merged, chain.targets, strict=True):
            torch.testing.assert_close(weight, target.layer.get_base_layer().weight.data, rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(output, logits(whole), rtol=1e-5, atol=1e-5)
