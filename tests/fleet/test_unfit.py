"""What a fleet cannot compute is refused, and then goes through the Trainer; nothing is computed wrongly in silence."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM, AutoTokenizer, FalconConfig, GPTNeoConfig, Lfm2Config

from colarepro.fleet.adapters import refuse_unfit
from colarepro.fleet.fleet import Fleet
from colarepro.fleet.group import UnfitError
from colarepro.methods import Adapter
from colarepro.results import Store
from colarepro.runs import RunConfig
from colarepro.runs.run_all import run_all
from colarepro.runs.stored import failed


@pytest.fixture
def config(untrained: str, miniature: Path) -> RunConfig:
    return RunConfig(
        task="rte",
        method="lora",
        model=untrained,
        data_dir=miniature,
        epochs=1,
        train_examples=8,
        dev_examples=8,
        test_examples=8,
    )


SMALL = {"hidden_size": 32, "bos_token_id": 1, "eos_token_id": 1}
LAYERS: dict[str, Any] = {"num_hidden_layers": 2, "num_attention_heads": 4}
FAMILIES = {
    "its attention is its own": FalconConfig(**SMALL, **LAYERS, alibi=False),
    "its attention is its own, twice": GPTNeoConfig(
        **SMALL,
        num_layers=2,
        num_heads=4,
        attention_types=[[["global", "local"], 1]],
        attention_dropout=0.0,
        embed_dropout=0.0,
        resid_dropout=0.0,
    ),
    "a layer is a convolution over tokens": Lfm2Config(
        **SMALL, **LAYERS, intermediate_size=64, num_key_value_heads=2, layer_types=["conv", "full_attention"]
    ),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_whose_prompts_would_see_each_other(config: RunConfig, tmp_path: Path, family: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(config.model)
    shape = FAMILIES[family]
    shape.vocab_size = len(tokenizer) + 8
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(shape).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    targets = ("query_key_value",) if isinstance(shape, FalconConfig) else ("q_proj", "v_proj")
    config = dataclasses.replace(config, model=str(tmp_path), adapter=Adapter(targets=targets))
    with pytest.raises(UnfitError):
        Fleet([config], "cpu").sail()


def test_layers_that_are_not_fed_every_token_and_sizes_that_do_not_fit() -> None:
    fit, head = nn.Linear(16, 8), nn.Linear(16, 48)
    refuse_unfit([fit], head, torch.bfloat16)
    refuse_unfit([nn.Linear(4, 12)], head, torch.float32)
    for layer, dtype in (
        (head, torch.float32),
        (nn.Embedding(8, 8), torch.float32),
        (nn.Linear(4, 12), torch.bfloat16),
    ):
        with pytest.raises(UnfitError):
            refuse_unfit([layer], head, dtype)


def test_failed_runs_are_tried_again_where_they_cannot_sail_together(config: RunConfig, tmp_path: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(config.model)
    model.config.attention_dropout = 0.5
    model.save_pretrained(tmp_path / "model")
    AutoTokenizer.from_pretrained(config.model).save_pretrained(tmp_path / "model")
    configs = [dataclasses.replace(config, model=str(tmp_path / "model"), seed=seed) for seed in (0, 1)]
    store = Store(tmp_path / "out")
    for each in configs:
        store.put(failed(each, RuntimeError("before"), "cpu"))
    records = run_all(configs, store, fleet=2, retry_failed=True)
    assert [record.status for record in records] == ["done", "done"]
