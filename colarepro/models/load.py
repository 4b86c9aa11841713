"""One door for every model: a name the package knows, a local folder, or a hub id."""

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from colarepro.errors import ColaError
from colarepro.models import smollm2, tiny
from colarepro.models.quiet import quiet

OFFLINE: Mapping[str, Callable[[], Path]] = {"smollm2-135m": smollm2.folder, "tiny": tiny.folder}


@dataclass(frozen=True)
class LoadedModel:
    """A causal language model in eval mode with its tokenizer; ``digest`` names the weights as loaded."""

    model: Any
    tokenizer: Any
    name: str
    digest: str


def fetch(name: str) -> Path:
    """Make sure that a model of `OFFLINE` is in the cache and return its folder."""
    if name not in OFFLINE:
        raise ColaError(f"Unknown model {name!r}; those that need no hub are {', '.join(OFFLINE)}.")
    return OFFLINE[name]()


def load(name: str, dtype: torch.dtype = torch.float32, device: str = "cpu") -> LoadedModel:
    """Load ``smollm2-135m``, ``tiny``, a local folder, or a hub id such as ``facebook/opt-1.3b``.

    The first two come into the cache by themselves. ``dtype`` is what the weights are cast to, whatever they were
    saved in. Code that comes with a model is never run. Raises `ColaError` if there is no such model, it cannot
    be reached or read, or its files lack weights.
    """
    if name in OFFLINE:
        source = str(fetch(name))
    elif Path(name).is_dir() or re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        source = name
    else:
        raise ColaError(f"Unknown model {name!r}; give {', '.join(OFFLINE)}, a local folder, or a hub id.")
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        with quiet():
            model, info = AutoModelForCausalLM.from_pretrained(
                source, dtype=dtype, trust_remote_code=False, output_loading_info=True
            )
            tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    except Exception as error:  # transformers, safetensors and the hub's client raise dozens of kinds
        said = next(iter(str(error).strip().splitlines()), type(error).__name__).rstrip(".")
        raise ColaError(f"Model {name} could not be loaded: {said}.") from error
    if missing := sorted(info["missing_keys"]):
        raise ColaError(f"Model {name} lacks {len(missing)} of its weights, {missing[0]} for one.")
    if tokenizer.pad_token_id is None:  # Llama has none; what pads is masked, so any token serves
        tokenizer.pad_token = tokenizer.eos_token
    return LoadedModel(model.to(device).eval(), tokenizer, name, weights_digest(model))


def weights_digest(model: torch.nn.Module) -> str:
    """Hex SHA-256 over names, dtypes, shapes and bytes of the state dict, in the order of the names."""
    total = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        total.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return total.hexdigest()
