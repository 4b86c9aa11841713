"""Tiny models with random weights of the decoder families that people have, in transformers' own classes."""

from typing import Any, NamedTuple

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

WIDTH, LAYERS, HEADS, LONGEST = 16, 2, 2, 128
USUAL = {
    "hidden_size": WIDTH,
    "intermediate_size": 24,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "max_position_embeddings": LONGEST,
}
GROUPED = USUAL | {"num_key_value_heads": 1}


class Family(NamedTuple):
    """What a family calls its sizes, and the layers of it that are adapted."""

    sizes: dict[str, Any]
    targets: tuple[str, ...]


FAMILIES = {
    "gemma2": Family(
        GROUPED | {"head_dim": 8, "sliding_window": 4, "final_logit_softcapping": 2.0, "attn_logit_softcapping": 2.0},
        ("q_proj", "v_proj"),
    ),
    # Conv1D, which stores (in, out); the attention's c_proj is square, so that no shape tells its orientation.
    "gpt2": Family({"n_embd": WIDTH, "n_layer": LAYERS, "n_head": HEADS, "n_positions": LONGEST}, ("c_attn", "c_proj")),
    "gpt_neox": Family(USUAL, ("query_key_value",)),
    "llama": Family(GROUPED, ("q_proj", "v_proj")),
    "mistral": Family(GROUPED | {"sliding_window": 4}, ("q_proj", "v_proj")),
    "opt": Family(
        {
            "hidden_size": WIDTH,
            "word_embed_proj_dim": WIDTH,
            "ffn_dim": 24,
            "num_hidden_layers": LAYERS,
            "num_attention_heads": HEADS,
            "max_position_embeddings": LONGEST,
        },
        ("q_proj", "v_proj"),
    ),
    "phi3": Family(GROUPED, ("qkv_proj",)),
    "qwen2": Family(GROUPED, ("q_proj", "v_proj")),
}


def random_model(family: str, vocabulary: int = 50) -> PreTrainedModel:
    """Weights large enough, and biases far enough from zero, that a mistake in any of them shows in the logits."""
    special = {"pad_token_id": 1, "bos_token_id": 2, "eos_token_id": 2}
    config = AutoConfig.for_model(family, vocab_size=vocabulary, **special, **FAMILIES[family].sizes)
    torch.manual_seed(0)
    model: PreTrainedModel = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.2)
    return model
