"""A finished chain as files that others load: one PEFT adapter, or a merged checkpoint."""

import copy
import dataclasses
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from peft import get_peft_model_state_dict
from peft.utils.other import AuxiliaryTrainingWrapper
from safetensors.torch import save_file
from torch import Tensor, distributed

from colarepro.chain.chain import Chain
from colarepro.chain.factored import FactoredLinks
from colarepro.chain.rebuilt import RebuiltLinks
from colarepro.chain.sharded import is_sharded, whole
from colarepro.chain.target import check_mergeable
from colarepro.errors import ColaError


def export_adapter(chain: Chain, folder: Path | str) -> Path:
    """Write the whole chain as one ordinary PEFT LoRA adapter of the summed rank; returns the folder.

    ``PeftModel.from_pretrained(base, folder)``, with the base that the chain began with, computes what the chain's
    model computes, up to rounding. The scalings of the links are multiplied into B, so rsLoRA and unequal ranks come
    out right; the summed rank never exceeds a target's smaller dimension.

    Raises `ColaError` if the links are no products of two factors: no single adapter then holds the chain.
    """
    if not isinstance(chain.links, FactoredLinks):
        raise ColaError("The chain's links are no products of two factors, so no adapter holds it; use export_merged.")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*have invalid shape")  # PEFT takes lora_bias for a torn matrix
        tensors = dict(get_peft_model_state_dict(chain.model, adapter_name=chain.adapter))
    ranks: dict[str, int] = {}
    for target in chain.targets:
        total = target.total()
        ranks[target.name.removeprefix("base_model.model.")] = total.rank
        tensors[f"{target.name}.lora_A.weight"] = total.A
        tensors[f"{target.name}.lora_B.weight"] = total.B
        if total.bias is not None:
            tensors[f"{target.name}.lora_B.bias"] = total.bias
    tensors = {name: whole(tensor.detach()) for name, tensor in tensors.items()}
    if chain.links.sharded and distributed.get_rank() > 0:
        return folder  # it was needed to gather, and rank 0 writes
    highest = max(ranks.values())
    # A pattern is needed only where a small target reached its full rank before the others.
    pattern = {f"^{name}$": rank for name, rank in ranks.items() if rank != highest}
    config = dataclasses.replace(
        chain.config, r=highest, lora_alpha=highest, use_rslora=False, rank_pattern=pattern, alpha_pattern=dict(pattern)
    )
    config.inference_mode = True
    config.save_pretrained(str(folder))
    save_file(
        {name: tensor.cpu().contiguous() for name, tensor in tensors.items()},
        folder / "adapter_model.safetensors",
    )
    return folder


@torch.no_grad()
def export_merged(chain: Chain, folder: Path | str) -> Path:
    """Write the base model with the whole chain merged, as ``from_pretrained`` reads it; returns the folder.

    Weights are summed in float32 and rounded to the model's dtype once. What was trained beside the adapter
    (``modules_to_save``, ``trainable_token_indices``) is in its place. The model in memory is not changed.

    Raises `ColaError` if the model is none of transformers', if its base is quantised or sharded, or if a target shares
    its weight.
    """
    base: Any = chain.model.get_base_model()
    if not hasattr(base, "save_pretrained"):
        raise ColaError(f"A {type(base).__name__} is no transformers model; only such models have a checkpoint format.")
    if isinstance(chain.links, RebuiltLinks):
        with chain.links.merged() as merged:
            merged.save_pretrained(str(folder))
        return Path(folder)
    if any(is_sharded(target.layer.get_base_layer().weight) for target in chain.targets):
        raise ColaError("The base is sharded, so no rank can write it; export the adapter, and merge it elsewhere.")
    check_mergeable(chain.model, chain.targets, "use export_adapter")
    state = _without_adapters(base)
    for target in chain.targets:
        name = target.name.removeprefix("base_model.model.")
        weight, bias = target.merged(target.total())
        state[f"{name}.weight"] = weight.cpu()
        if bias is not None:
            state[f"{name}.bias"] = bias.cpu()
    with _untied_if_parted(base, state):
        base.save_pretrained(str(folder), state_dict=state)
    return Path(folder)


def _without_adapters(base: Any) -> dict[str, Tensor]:
    """The state dict, with what PEFT trains whole in the place of what it stands in for."""
    wrappers = {name: module for name, module in base.named_modules() if isinstance(module, AuxiliaryTrainingWrapper)}
    adapters, wrapped = (".lora_A.", ".lora_B."), tuple(f"{name}." for name in wrappers)
    state = {
        name.replace(".base_layer.", "."): tensor
        for name, tensor in base.state_dict().items()
        if not any(part in name for part in adapters) and not name.startswith(wrapped)
    }
    for name, wrapper in wrappers.items():
        # Merging trained tokens writes into the embedding, so into a copy.
        trained = copy.deepcopy(wrapper).unload_and_optionally_merge_module(True, False, None)
        state |= {f"{name}.{key}": tensor for key, tensor in trained.state_dict().items()}
    return state


@contextmanager
def _untied_if_parted(base: Any, state: dict[str, Tensor]) -> Iterator[None]:
    """Within the block the configuration ties no embeddings that training has parted. transformers 5 finds two weights
    and leaves them apart; other loaders believe the configuration."""
    names = {module: name for name, module in base.named_modules()}
    ends = [names.get(end) for end in (base.get_input_embeddings(), base.get_output_embeddings())]
    first, last = (state.get(f"{end}.weight") for end in ends)
    parted = first is not None and last is not None and not torch.equal(first, last)
    tied = getattr(base.config, "tie_word_embeddings", False)
    if not (tied and parted):
        yield
        return
    base.config.tie_word_embeddings = False
    try:
        yield
    finally:
        base.config.tie_word_embeddings = True
