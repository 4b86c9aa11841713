"""Small models with random weights, in the architectures that matter for a merge."""

from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    OPTConfig,
    OPTForCausalLM,
    PreTrainedModel,
)

from colarepro.chain import Chain, Schedule

VOCABULARY = 50


def base_model(family: str = "llama", dtype: torch.dtype = torch.float32, seed: int = 0) -> PreTrainedModel:
    """Two layers, width 16. OPT has biases and ties its embeddings, GPT-2's projections are Conv1D, Llama's v_proj is
    8 × 16."""
    torch.manual_seed(seed)
    model: PreTrainedModel
    if family == "opt":
        model = OPTForCausalLM(
            OPTConfig(
                vocab_size=VOCABULARY,
                hidden_size=16,
                ffn_dim=32,
                num_hidden_layers=2,
                num_attention_heads=2,
                max_position_embeddings=64,
                word_embed_proj_dim=16,
                dropout=0.0,
            )
        )
        for parameter in model.parameters():  # biases start at zero, where a test would not see them
            if parameter.dim() == 1:
                torch.nn.init.normal_(parameter, std=0.1)
    elif family == "gpt2":
        model = GPT2LMHeadModel(
            GPT2Config(
                vocab_size=VOCABULARY,
                n_embd=16,
                n_layer=2,
                n_head=2,
                n_positions=64,
                resid_pdrop=0.0,
                embd_pdrop=0.0,
                attn_pdrop=0.0,
                bos_token_id=0,
                eos_token_id=0,
            )
        )
    else:
        model = LlamaForCausalLM(
            LlamaConfig(
                vocab_size=VOCABULARY,
                hidden_size=16,
                intermediate_size=32,
                num_hidden_layers=2,
                num_attention_heads=2,
                num_key_value_heads=1,
                max_position_embeddings=64,
            )
        )
    return model.to(dtype)


def peft_model(family: str = "llama", dtype: torch.dtype = torch.float32, **lora: Any) -> Any:
    """A small model with rank-4 LoRA on its attention projections, in training mode."""
    settings: dict[str, Any] = {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "v_proj"]}
    if family == "gpt2":
        settings |= {"target_modules": ["c_attn"], "fan_in_fan_out": True}
    return get_peft_model(base_model(family, dtype), LoraConfig(**(settings | lora))).train()


def adamw(model: Any, learning_rate: float = 1e-2) -> torch.optim.AdamW:
    """AdamW over what is trainable."""
    return torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=learning_rate, weight_decay=0.0)


def tokens(seed: int = 0) -> torch.Tensor:
    """A batch of token ids, (4, 8)."""
    return torch.randint(0, VOCABULARY, (4, 8), generator=torch.Generator().manual_seed(seed))


def train(model: Any, chain: Chain | None, optimizer: torch.optim.Optimizer, steps: int, first: int = 0) -> list[float]:
    """Train as a user's plain loop would; returns the losses."""
    losses = []
    for step in range(first, first + steps):
        batch = tokens(step)
        loss = model(input_ids=batch, labels=batch).loss
        loss.backward()
        optimizer.step()
        if chain is not None:
            chain.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses


def chained(model: Any, schedule: Schedule, total_steps: int, **options: Any) -> tuple[Chain, torch.optim.AdamW]:
    """A chain with its optimizer."""
    optimizer = adamw(model)
    return Chain(model, schedule, total_steps=total_steps, optimizer=optimizer, **options), optimizer


@torch.no_grad()
def logits(model: Any) -> torch.Tensor:
    """Logits on a fixed batch in evaluation mode; the mode is put back."""
    training = model.training
    model.eval()
    output = model(input_ids=tokens(99)).logits.float()
    model.train(training)
    return output
