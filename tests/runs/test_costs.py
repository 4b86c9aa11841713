"""Costs: the formula against PyTorch's own count, activations, memory."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM, PreTrainedConfig

from colarepro.chain import Schedule
from colarepro.methods import Adapter, method
from colarepro.models import load, tiny
from colarepro.runs import RunConfig, perform
from colarepro.runs.costs import (
    Fed,
    count,
    flops_by_formula,
    peak_bytes,
    product_weights,
    reset_peak,
    trained_in_products,
)
from colarepro.tasks import draw, encode, load_task
from tests.chain.models import base_model
from tests.methods.test_shapes import LLAMA_2_7B, OPT_1_3B


@pytest.mark.parametrize("shape", [OPT_1_3B, LLAMA_2_7B], ids=lambda shape: shape.model_type)
@pytest.mark.parametrize("name", ["full", "lora", "asym-lora"])
def test_the_formula_is_within_two_percent_of_the_count(shape: PreTrainedConfig, name: str) -> None:
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(shape)
    prepare = method(name).prepare
    assert prepare is not None
    model = prepare(model, Adapter(), Schedule(), 0).model
    fed = Fed()
    for length in (20, 128, 700):
        fed.add(8, length, 8 * length, trained_in_products(product_weights(model)))
    assert flops_by_formula(model, fed) == pytest.approx(count(model).flops_of(fed), rel=0.02)


def test_a_record_has_both(untrained: str, miniature: Path) -> None:
    """By hand: 12 · width² a layer at 4 a position, adapters at 6, attention at 12 · length² · width a layer; the links
    of a step-down by their own ranks."""
    config = RunConfig(
        task="rte",
        method="cola",
        chain=Schedule(knot_epochs=(1,), ranks=(8, 2)),
        model=untrained,
        data_dir=miniature,
        epochs=2,
        batch_size=1,
        train_examples=12,
        dev_examples=8,
        test_examples=8,
    )
    costs = perform(config).costs
    task = load_task("rte")
    prompts = encode(task, draw(task, miniature, 0, "paper", 12, 8, 8).train, load(untrained).tokenizer).prompts
    positions, squares = sum(map(len, prompts)), sum(len(prompt) ** 2 for prompt in prompts)
    assert (costs["tokens"], costs["padding_share"]) == (2 * positions, 0)
    base, per_rank = tiny.LAYERS * 12 * tiny.WIDTH**2, tiny.LAYERS * 2 * 2 * tiny.WIDTH
    products = positions * (2 * 4 * base + 6 * (8 + 2) * per_rank)
    assert costs["flops_train"] == pytest.approx(products + 2 * 12 * squares * tiny.WIDTH * tiny.LAYERS)
    # In so low a model the lowest layer's saved products count: q, k and v need no gradient of their input.
    saved = 2 * positions * 2 * 3 * tiny.WIDTH**2
    assert costs["flops_train_counted"] == pytest.approx(costs["flops_train"] - saved, rel=0.02)
    inside = costs["seconds_dev"] + costs["seconds_save"] + costs["seconds_knots"]
    assert 0 < inside < costs["seconds_train"]
    assert costs["seconds_knots"] > 0
    lora = perform(dataclasses.replace(config, method="lora"))
    assert lora.costs["seconds_knots"] == 0


def test_links_of_other_ranks_are_counted_by_theirs() -> None:
    lora = method("lora").prepare
    assert lora is not None

    def of_rank(rank: int) -> Any:
        with torch.device("meta"):
            return lora(AutoModelForCausalLM.from_config(OPT_1_3B), Adapter(rank=rank), Schedule(), 0).model

    def fed(model: Any) -> Fed:
        told = Fed()
        told.add(8, 64, 512, trained_in_products(product_weights(model)))
        return told

    first, second = of_rank(8), of_rank(2)
    counted = count(first)
    assert counted.flops_of(fed(second)) == pytest.approx(
        count(second).flops_of(fed(second)), rel=2e-5
    )  # the lowest A gives no gradient on
    assert counted.flops_of(fed(first)) > 1.0005 * counted.flops_of(fed(second))


@pytest.mark.parametrize(("rate", "best"), [(1e-2, 3), (3e-3, 6)])
def test_sizes_are_those_of_the_last_link_whichever_epoch_is_chosen(
    rate: float, best: int, untrained: str, miniature: Path
) -> None:
    config = RunConfig(
        task="rte",
        method="cola",
        chain=Schedule(knot_epochs=(1,), ranks=(8, 2)),
        model=untrained,
        data_dir=miniature,
        learning_rate=rate,
        epochs=2,
        train_examples=24,
        dev_examples=16,
        test_examples=20,
    )
    record = perform(config)
    assert record.scores["best_step"] == best
    assert record.costs["parameters_trained"] == tiny.LAYERS * 2 * 2 * 2 * tiny.WIDTH
    whole = load(untrained).model
    assert record.costs["parameters"] == sum(p.numel() for p in whole.parameters()) + record.costs["parameters_trained"]


def test_counting_leaves_the_model_alone() -> None:
    model = base_model()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    count(model)
    assert all(parameter.grad is None and parameter.device.type == "cpu" for parameter in model.parameters())
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_activations_are_what_the_backward_pass_keeps() -> None:
    """Against PyTorch's own account of a real pass, whose attention keeps its scores besides."""
    model = base_model("llama")
    rows, length = 3, 32
    kept: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    own = {parameter.untyped_storage().data_ptr() for parameter in (*model.parameters(), *model.buffers())}
    ids = torch.arange(rows * length).view(rows, length) % 50
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = model(input_ids=ids, logits_to_keep=1, use_cache=False).logits.sum()
    real = sum(size for place, size in kept.items() if place not in own)
    loss.backward()
    assert count(model).activations_of(rows, length) == pytest.approx(real, rel=0.15)


def test_peak_memory_is_that_since_the_reset() -> None:
    reset_peak("cpu")
    small = peak_bytes("cpu")
    large = torch.ones(2**24)  # 64 MiB
    assert peak_bytes("cpu") >= small + 2**25
    del large
    reset_peak("cpu")
    assert peak_bytes("cpu") < small + 2**25


def test_the_output_embedding_is_no_product() -> None:
    model = base_model("llama")
    head = model.get_output_embeddings()
    assert isinstance(head, nn.Linear)
    assert all(weight is not head.weight for weight in product_weights(model))
    assert len(product_weights(model)) == 2 * 7
