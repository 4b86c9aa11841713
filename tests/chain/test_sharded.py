"""A chain over a model that FSDP2 shards, in a plain loop, is the chain of one process."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import PartialState
from safetensors.torch import load_file
from torch import Tensor, distributed
from torch.distributed import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.distributed.tensor.placement_types import _StridedShard

from colarepro.chain import Chain, Schedule, export_adapter, export_merged
from colarepro.chain.chain import FILE
from colarepro.chain.first import draw_first_link
from colarepro.errors import ColaError
from tests.chain.models import adamw, logits, peft_model, tokens
from tests.ranked import on_ranks

STEPS = 6
LAYERS = ("LlamaDecoderLayer", "GPT2Block", "OPTDecoderLayer")
SCHEDULES = {
    "merged": Schedule(knot_steps=(2, 4)),
    "stacked": Schedule(knot_steps=(2, 4), fold="stack"),
    "same A": Schedule(knot_steps=(2, 4), initialization="same"),
}


def model_of(family: str = "llama", dtype: torch.dtype = torch.float32, **lora: Any) -> Any:
    model = peft_model(family, dtype, **lora)
    draw_first_link(model, seed=0)
    return model


def sharded(model: Any, *, adapter: bool = True) -> Any:
    """The model with its weights shared out by layers, those of the adapter, too, or not."""
    PartialState(cpu=True)
    mesh = init_device_mesh("cpu", (distributed.get_world_size(),))
    whole = set() if adapter else {parameter for name, parameter in model.named_parameters() if "lora_" in name}
    for module in model.modules():
        if type(module).__name__ in LAYERS:
            fully_shard(module, mesh=mesh, ignored_params=whole)
    return fully_shard(model, mesh=mesh, ignored_params=whole)


def chained(model: Any, schedule: Schedule) -> Chain:
    return Chain(model, schedule, total_steps=STEPS, optimizer=adamw(model))


def train(chain: Chain, first: int = 0, last: int = STEPS) -> list[float]:
    """Losses of a plain loop in which every process has the same batches."""
    losses = []
    for step in range(first, last):
        batch = tokens(step)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*returned a view tensor")  # OPT's layers; nothing changes it in place
            loss = chain.model(input_ids=batch, labels=batch).loss
        loss.backward()
        chain.optimizer.step()
        chain.step()
        chain.optimizer.zero_grad()
        losses.append(loss.item())
    return losses


def factors(chain: Chain) -> list[Tensor]:
    """Of every target the current A, and the weight that it stands on, gathered."""
    found = []
    for target in chain.targets:
        for tensor in (target.layer.lora_A["default"].weight, target.layer.get_base_layer().weight):
            found.append((tensor.full_tensor() if isinstance(tensor, DTensor) else tensor).detach())
    return found


def check(work: Callable[[], Chain], expected: Chain, losses: list[float], folder: Path) -> None:
    """On three ranks, which divide no weight evenly, ``work`` makes a chain that trains and ends as ``expected``."""

    def both() -> tuple[list[float], list[Tensor], Tensor]:
        chain = work()
        return train(chain), factors(chain), logits(chain.model)

    for found, tensors, output in on_ranks(3, folder, both):
        assert found == pytest.approx(losses, rel=1e-6)
        for own, other in zip(tensors, factors(expected), strict=True):
            torch.testing.assert_close(own, other, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(output, logits(expected.model), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("family", "schedule", "adapter"),
    [
        ("llama", "merged", True),
        ("llama", "merged", False),
        ("llama", "stacked", True),
        ("llama", "same A", True),
        ("gpt2", "merged", True),
    ],
)
def test_many_ranks_are_one(family: str, schedule: str, adapter: bool, tmp_path: Path) -> None:
    expected = chained(model_of(family), SCHEDULES[schedule])
    losses = train(expected)
    check(lambda: chained(sharded(model_of(family), adapter=adapter), SCHEDULES[schedule]), expected, losses, tmp_path)


def test_biases_are_merged_by_parts(tmp_path: Path) -> None:
    """OPT's layers have biases, here with adapters of their own."""
    expected = chained(model_of("opt", lora_bias=True), SCHEDULES["merged"])
    losses = train(expected)
    check(lambda: chained(sharded(model_of("opt", lora_bias=True)), SCHEDULES["merged"]), expected, losses, tmp_path)


def test_half_precision_rounds_once(tmp_path: Path) -> None:
    """The merged bfloat16 weight is bit for bit that of one process, given the same link."""

    def tied(model: Any) -> list[Tensor]:
        chain = chained(model, Schedule(length=2))
        generator = torch.Generator().manual_seed(0)
        for target in chain.targets:
            with target.whole_link(), torch.no_grad():
                for parameter in target.parameters:
                    parameter.copy_(torch.randn(parameter.shape, generator=generator))
        chain.tie()
        return factors(chain)

    expected = tied(model_of(dtype=torch.bfloat16))
    for found in on_ranks(2, tmp_path, lambda: tied(sharded(model_of(dtype=torch.bfloat16), adapter=False))):
        assert all(torch.equal(own, other) for own, other in zip(found, expected, strict=True))


@pytest.mark.parametrize(("family", "lora", "adapter"), [("llama", {}, True), ("opt", {"bias": "lora_only"}, False)])
def test_checkpoints_know_no_number_of_ranks(family: str, lora: dict, adapter: bool, tmp_path: Path) -> None:
    """Saved after four steps, behind two knots: the same on one rank and on two, each taken up by the other; also where
    nothing is sharded of what is trained but biases beside the adapter."""

    def begun(model: Any, folder: str) -> Tensor:
        chain = chained(model, SCHEDULES["merged"])
        train(chain, last=4)
        chain.save(tmp_path / folder)
        assert chain.links.sharded == (folder == "two")  # whether a Trainer has all ranks save
        return logits(model)

    def taken_up(model: Any, folder: str) -> list[Tensor]:
        chain = chained(model, SCHEDULES["merged"])
        chain.load(tmp_path / folder)
        assert (chain.link, chain.steps_done) == (2, 4)
        return [*factors(chain), logits(model)]

    def both() -> list[Tensor]:
        begun(sharded(model_of(family, **lora), adapter=adapter), "two")
        return taken_up(sharded(model_of(family, **lora), adapter=adapter), "one")

    expected = begun(model_of(family, **lora), "one")
    found = on_ranks(2, tmp_path / "ranks", both)
    one, two = (load_file(tmp_path / folder / FILE) for folder in ("one", "two"))
    assert one.keys() == two.keys()
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, rtol=1e-5, atol=1e-6)
    there = taken_up(model_of(family, **lora), "two")
    torch.testing.assert_close(there[-1], expected, rtol=1e-5, atol=1e-5)
    for tensors in found:
        for own, other in zip(tensors, there, strict=True):
            torch.testing.assert_close(own, other, rtol=1e-5, atol=1e-5)


def test_an_adapter_leaves_and_a_merged_model_does_not(tmp_path: Path) -> None:
    def work() -> str:
        chain = chained(sharded(model_of()), SCHEDULES["merged"])
        train(chain)
        export_adapter(chain, tmp_path / "two")
        with pytest.raises(ColaError, match="The base is sharded") as refused:
            export_merged(chain, tmp_path / "merged")
        return str(refused.value)

    expected = chained(model_of(), SCHEDULES["merged"])
    train(expected)
    export_adapter(expected, tmp_path / "one")
    said = on_ranks(2, tmp_path / "ranks", work)
    assert said[0] == said[1]
    one, two = (load_file(tmp_path / folder / "adapter_model.safetensors") for folder in ("one", "two"))
    assert one.keys() == two.keys()
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, rtol=1e-4, atol=1e-5)


def test_refusals(tmp_path: Path) -> None:
    refused = {
        "expected links of one rank": lambda: chained(sharded(model_of()), Schedule(knot_steps=(2,), ranks=(4, 2))),
        "reset='drop'": lambda: chained(sharded(model_of()), Schedule(knot_steps=(2,), reset="prune")),
        "expected plain float32 weights": lambda: chained(sharded(peft_model(use_dora=True)), Schedule(length=2)),
        "q_proj has a quantised or oddly sharded weight": lambda: chained(_cut_twice(model_of()), Schedule(length=2)),
        "overflows torch.float16": lambda: _overflow(sharded(model_of(dtype=torch.float16), adapter=False)),
    }

    def work() -> list[str]:
        said = []
        for refusal in refused.values():
            with pytest.raises(ColaError) as error:
                refusal()
            said.append(str(error.value))
        return said

    for said in on_ranks(2, tmp_path, work):
        assert all(expected in sentence for expected, sentence in zip(refused, said, strict=True))


def _cut_twice(model: Any) -> Any:
    """The model with one weight cut into rows as tensor parallelism and FSDP2 do together."""
    mesh = init_device_mesh("cpu", (distributed.get_world_size(),))
    layer = model.base_model.model.model.layers[0].self_attn.q_proj.base_layer
    rows = layer.weight.detach().chunk(mesh.size())[mesh.get_rank()]
    cut = DTensor.from_local(rows, mesh, [_StridedShard(0, split_factor=2)])
    layer.weight = torch.nn.Parameter(cut, requires_grad=False)
    return model


def _overflow(model: Any) -> None:
    """One row of one weight overflows, which one rank alone holds; the other takes its merges back, too."""
    chain = chained(model, Schedule(length=2))
    before = factors(chain)
    with torch.no_grad():
        for target in chain.targets:
            target.parameters[1].fill_(0.1)
        chain.targets[-1].parameters[1][-1] = 1e6
        chain.targets[-1].parameters[0].fill_(1.0)
        before[-2].fill_(1.0)
    try:
        chain.tie()
    finally:
        assert all(torch.equal(now, then) for now, then in zip(factors(chain)[1::2], before[1::2], strict=True))
