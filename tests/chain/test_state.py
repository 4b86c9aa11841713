"""A chain's state, taken up by a fresh model in a plain loop."""

from pathlib import Path

import pytest
import torch

from colarepro.chain import Schedule
from tests.chain.models import adamw, chained, logits, peft_model, train

BESIDE = [
    {},
    {"bias": "lora_only"},
    {"modules_to_save": ["lm_head"]},
    {"trainable_token_indices": [1, 2, 3]},
]


@pytest.mark.parametrize("ranks", [(), (4, 2)])
@pytest.mark.parametrize("beside", BESIDE)
@pytest.mark.parametrize("fold", ["merge", "stack"])
def test_the_state_holds_all_that_is_trained(beside: dict, fold: str, ranks: tuple[int, ...], tmp_path: Path) -> None:
    schedule = Schedule(knot_steps=(3,), fold=fold, ranks=ranks)
    family = "opt" if "bias" in beside else "llama"
    model = peft_model(family, **beside)
    chain, optimizer = chained(model, schedule, 6)
    train(model, chain, optimizer, 4)
    chain.save(tmp_path)
    fresh = peft_model(family, **beside)
    again, _ = chained(fresh, schedule, 6)
    assert not torch.equal(logits(fresh), logits(model))
    again.load(tmp_path)
    assert torch.equal(logits(fresh), logits(model))
    assert (again.identity, again.steps_done) == (chain.identity, 4)
    # Both go on with a new optimizer, whose state is none of the chain's.
    assert train(fresh, again, adamw(fresh), 2, first=4) == train(model, chain, adamw(model), 2, first=4)
