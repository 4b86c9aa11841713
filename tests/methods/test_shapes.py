"""The paper's models in their true shapes, without their weights."""

import pytest
import torch
from transformers import AutoModelForCausalLM, PreTrainedConfig

from colarepro.bench.shapes import SHAPES
from colarepro.chain import Schedule
from colarepro.methods import Adapter, method

OPT_1_3B, LLAMA_2_7B = SHAPES["opt-1.3b"], SHAPES["llama-2-7b"]


@pytest.mark.parametrize(
    ("config", "name", "trained"),
    [
        (OPT_1_3B, "lora", 1_572_864),
        (OPT_1_3B, "cola", 1_572_864),
        (OPT_1_3B, "asym-lora", 786_432),
        (OPT_1_3B, "lora-rank-sum", 2 * 1_572_864),
        (LLAMA_2_7B, "lora", 4_194_304),
        (LLAMA_2_7B, "cola", 4_194_304),
    ],
    ids=lambda value: getattr(value, "model_type", str(value)),
)
def test_the_papers_numbers_of_trained_parameters(config: PreTrainedConfig, name: str, trained: int) -> None:
    """Rank 8 on q and v: 24 layers x 2 x 8 x (2048 + 2048), and 32 x 2 x 8 x (4096 + 4096)."""
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    prepare = method(name).prepare
    assert prepare is not None
    prepared = prepare(model, Adapter(), Schedule(length=2), 0)
    assert sum(p.numel() for p in prepared.model.parameters() if p.requires_grad) == trained
