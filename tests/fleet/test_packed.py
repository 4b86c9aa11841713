"""Packing: the same logits as one prompt at a time, for every family whose attention can be packed."""

import numpy as np
import pytest
import torch

from colarepro.errors import ColaError
from colarepro.fleet.attention import NAME
from colarepro.fleet.packed import Packed, Pool, packed_batch, step_of
from tests.chain.models import base_model

PROMPTS = [[2, 7, 9, 4], [2, 5], [2, 8, 30, 11, 6, 3, 3], [2]]


def batch(prompts: list[int], runs: list[int], fill: int = 1) -> Packed:
    pool = Pool(PROMPTS, [0, 1, 0, 1], 5, "cpu")
    shape = pool.shape(np.array(prompts), fill)
    return pool.packed(torch.from_numpy(pool.plan(np.array(prompts), np.array(runs), shape)), shape)


def test_a_batch_is_laid_out_end_to_end() -> None:
    packed = batch([1, 2, 0], [0, 3, 3])
    assert packed.ids.tolist() == [[2, 5, 2, 8, 30, 11, 6, 3, 3, 2, 7, 9, 4]]
    assert packed.positions.tolist() == [[0, 1, 0, 1, 2, 3, 4, 5, 6, 0, 1, 2, 3]]
    assert packed.last.tolist() == [1, 8, 12]
    assert packed.bounds.tolist() == [0, 2, 9, 13]
    assert packed.ends.tolist() == [2, 2, 2, 13, 13]
    assert (packed.runs.tolist(), packed.labels.tolist()) == ([0, 3, 3], [1, 0, 0])
    assert (packed.shape.tokens, packed.shape.prompts, packed.shape.longest) == (13, 3, 7)


def test_what_fills_up_are_prompts_that_nobody_reads() -> None:
    packed = batch([1, 0], [0, 2], fill=16)
    assert (packed.shape.tokens, packed.shape.prompts, packed.shape.longest) == (16, 2, 4)
    assert packed.bounds.tolist() == [0, 2, 6, 10, 14, 16, 16]
    assert packed.ends.tolist() == [2, 2, 6, 6, 16]  # no prompt of the last run, so only what fills up
    assert packed.last.tolist() == [1, 5]


def test_little_is_filled_up_and_few_sizes_occur() -> None:
    for tokens in range(256, 70_000):
        assert -tokens % step_of(tokens) <= tokens / 16
    filled = [tokens + -tokens % step_of(tokens) for tokens in range(1, 70_000)]
    assert len(set(filled)) < 200


@pytest.mark.parametrize("fill", [1, 32])
@pytest.mark.parametrize("family", ["opt", "llama", "gpt2"])
def test_logits_and_gradients_are_those_of_one_prompt_at_a_time(family: str, fill: int) -> None:
    model = base_model(family).eval()
    parameters = list(model.parameters())
    alone = torch.cat([model(input_ids=torch.tensor([prompt])).logits[:, -1] for prompt in PROMPTS])
    expected = torch.autograd.grad(alone.square().sum(), parameters)
    packed = batch([0, 1, 2, 3], [0, 0, 0, 0], fill)
    model.set_attn_implementation(NAME)
    with packed_batch(packed):
        inputs = {"input_ids": packed.ids, "position_ids": packed.positions, "logits_to_keep": packed.last}
        together = model(**inputs, use_cache=False).logits[0]
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-6)
    for found, wanted in zip(torch.autograd.grad(together.square().sum(), parameters), expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


def test_attention_that_cannot_be_packed_is_refused() -> None:
    model = base_model("llama").train()
    for layer in model.model.layers:
        layer.self_attn.attention_dropout = 0.1
    model.set_attn_implementation(NAME)
    packed = batch([0, 1], [0, 0])
    with packed_batch(packed), pytest.raises(ColaError, match="attention has dropout"):
        model(input_ids=packed.ids, position_ids=packed.positions)
