"""Fused norms are put where they compute the same, and nowhere else."""

import torch
from transformers import GemmaConfig, GemmaForCausalLM

from colarepro.fleet.norms import FusedNorm, fuse_norms
from tests.chain.models import base_model


def test_a_llama_computes_the_same() -> None:
    model = base_model("llama").eval()
    for parameter in model.parameters():
        if parameter.dim() == 1:  # the norms' weights start at one, where a lost weight would not show
            torch.nn.init.normal_(parameter, mean=1.0, std=0.3)
    ids = torch.arange(20).view(2, 10)
    expected = model(input_ids=ids).logits
    assert fuse_norms(model) == 5  # two a layer and the last
    torch.testing.assert_close(model(input_ids=ids).logits, expected, rtol=1e-5, atol=1e-6)


def test_a_norm_that_scales_otherwise_is_left_alone() -> None:
    """Gemma's, by one plus the weight."""
    config = GemmaConfig(
        vocab_size=50,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
    )
    torch.manual_seed(0)
    model = GemmaForCausalLM(config).eval()
    for module in model.modules():
        if not hasattr(module, "variance_epsilon") and hasattr(module, "eps"):
            module.variance_epsilon = module.eps
    assert fuse_norms(model) == 0
    assert not any(isinstance(module, FusedNorm) for module in model.modules())


def test_a_model_without_such_norms() -> None:
    assert fuse_norms(base_model("opt")) == 0
