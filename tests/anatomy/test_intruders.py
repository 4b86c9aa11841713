"""Intruder dimensions against PEFT's own count."""

import re
from typing import Any

import pytest
import torch
from peft.tuners.lora.intruders import reduce_intruder_dimension

from colarepro.anatomy.intruders import count_intruders, left_vectors, original_weight
from colarepro.chain import Schedule
from colarepro.chain.target import targets_of
from tests.chain.models import base_model, chained, peft_model, train


def with_update(size: float) -> Any:
    """A model with one link of this size relative to its weights."""
    model = peft_model()
    generator = torch.Generator().manual_seed(0)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.data.copy_(size * torch.randn(parameter.shape, generator=generator))
    return model


@pytest.mark.parametrize("size", [0.0, 0.02, 0.1, 10.0])
def test_a_link_has_as_many_as_peft_says(size: float) -> None:
    model = with_update(size)
    ours = []
    for target in targets_of(model, "default"):
        original = original_weight(target)
        ours.append(count_intruders(left_vectors(original), original + target.total().product()))
    said: list[str] = []
    reduce_intruder_dimension(model, logging_sink=said.append)
    theirs = [int(re.findall(r"\d+$", line)[0]) if "Intruders" in line else 0 for line in said[:-1]]
    assert ours == theirs
    assert any(ours) == (size > 0)


def test_a_chain_is_compared_with_what_it_began_with() -> None:
    """After a knot the base holds the past; the original is what it was before the first, also of Conv1D."""
    for family in ("llama", "gpt2"):
        model = peft_model(family)
        chain, optimizer = chained(model, Schedule(length=2), total_steps=4)
        train(model, chain, optimizer, steps=3)
        before = base_model(family)
        for target in chain.targets:
            weight = before.get_submodule(target.name.removeprefix("base_model.model.")).weight
            assert torch.equal(original_weight(target), weight.T if family == "gpt2" else weight)
            assert not torch.equal(target.layer.get_base_layer().weight, weight)


def test_a_new_direction_is_an_intruder_once_it_leads() -> None:
    original = torch.diag(torch.arange(12.0, 0, -1))
    vectors = torch.eye(12)[:, :11]  # of an original whose last direction was never used
    quiet, loud = original.clone(), original.clone()
    quiet[11, 11], loud[11, 11] = 0.1, 100.0
    assert count_intruders(vectors, quiet) == 0
    assert count_intruders(vectors, loud) == 1
