"""One door for every model: a name the package knows, a local folder, or a hub id."""

import hashlib
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from textwrap import shorten
from typing import Any

import torch
from huggingface_hub.errors import GatedRepoError, LocalEntryNotFoundError, RepositoryNotFoundError
from safetensors import SafetensorError

from colarepro.errors import ColaError
from colarepro.models import smollm2, tiny
from colarepro.models.quiet import quiet

OFFLINE: Mapping[str, Callable[[], Path]] = {"smollm2-135m": smollm2.folder, "tiny": tiny.folder}

REASONS: tuple[tuple[type[Exception], str], ...] = (
    (GatedRepoError, "it is gated; ask for access on its page on the hub, then log in with `hf auth login`"),
    (RepositoryNotFoundError, "the hub has no such model, or it is private; check the id, or `hf auth login`"),
    (
        LocalEntryNotFoundError,
        "the hub cannot be reached (or HF_HUB_OFFLINE is set), nor is it in the hub's cache here; give a local folder",
    ),
    (SafetensorError, "a safetensors file is broken; fetch or save it anew"),
    (UnpicklingError, "a .bin file is broken or holds more than tensors, which could run code; expected safetensors"),
)
"""What a failure to load means, and what to do; of an error and its causes the first that is here counts."""


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


def source_of(name: str) -> str:
    """The folder or hub id that a model's files are read from; raises `ColaError` if the name can be neither."""
    if name in OFFLINE:
        return str(fetch(name))
    if Path(name).is_dir():
        if not (Path(name) / "config.json").is_file():
            raise ColaError(f"Folder {name} has no config.json; expected a whole model, and not an adapter alone.")
        return name
    if re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        return name
    raise ColaError(f"Unknown model {name!r}; give {', '.join(OFFLINE)}, a local folder, or a hub id.")


def load_tokenizer(name: str) -> Any:
    """A model's tokenizer, with a token for padding and the model's positions as its limit at most.

    Raises `ColaError` if the model has none.
    """
    from transformers import AutoTokenizer

    with explained(f"The tokenizer of model {name}"):
        tokenizer = AutoTokenizer.from_pretrained(source_of(name), trust_remote_code=False)
    # For some families transformers makes an empty tokenizer where the files are absent.
    if len(tokenizer) <= len(tokenizer.all_special_tokens):
        raise ColaError(f"Model {name} has no tokenizer with it; save one there with tokenizer.save_pretrained.")
    if tokenizer.pad_token_id is None:  # Llama has none; what pads is masked, so any token serves
        tokenizer.pad_token = tokenizer.eos_token
    hold_to_positions(tokenizer, load_shape(name))
    return tokenizer


def hold_to_positions(tokenizer: Any, shape: Any) -> None:
    """Lower the tokenizer's ``model_max_length`` to the model's positions: many tokenizers name no limit of their own.

    ``shape`` is the model's configuration; one that knows no positions (ALiBi's) leaves the tokenizer as it is.
    """
    if positions := getattr(shape.get_text_config(), "max_position_embeddings", None):
        tokenizer.model_max_length = min(tokenizer.model_max_length, positions)


def load_shape(name: str) -> Any:
    """A model's configuration without its weights; raises `ColaError` if it cannot be read."""
    from transformers import AutoConfig

    with explained(f"The configuration of model {name}"):
        return AutoConfig.from_pretrained(source_of(name), trust_remote_code=False)


def load(name: str, dtype: torch.dtype = torch.float32, device: str = "cpu") -> LoadedModel:
    """Load ``smollm2-135m``, ``tiny``, a local folder, or a hub id such as ``facebook/opt-1.3b``.

    The first two come into the cache by themselves. ``dtype`` is what the weights are cast to, whatever they were
    saved in. Code that comes with a model is never run. Raises `ColaError` if there is no such model, it cannot
    be reached or read, or its files lack weights or a tokenizer.

    Weights are read from safetensors files; where a model has none, as facebook/opt-1.3b on the hub, from its .bin
    files by torch's unpickler for tensors alone, which refuses all else. transformers' ``use_safetensors=True`` is not
    the safer way: it takes the weights from an open pull request on the hub, which the model's owner has not accepted,
    or asks a service to open one.
    """
    source = source_of(name)
    from transformers import AutoModelForCausalLM

    # Over a .bin file transformers would otherwise have a thread ask that service in the background.
    os.environ.setdefault("DISABLE_SAFETENSORS_CONVERSION", "1")
    with explained(f"Model {name}"):
        model, info = AutoModelForCausalLM.from_pretrained(
            source, dtype=dtype, trust_remote_code=False, output_loading_info=True
        )
    if missing := sorted(info["missing_keys"]):
        raise ColaError(f"Model {name} lacks {len(missing)} of its weights, {missing[0]} for one.")
    tokenizer = load_tokenizer(name)
    digest = weights_digest(model)  # while the weights are on the host
    return LoadedModel(model.to(device).eval(), tokenizer, name, digest)


def weights_digest(model: torch.nn.Module) -> str:
    """Hex SHA-256 over names, dtypes, shapes and bytes of the state dict, in the order of the names."""
    total = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        total.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return total.hexdigest()


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Keep transformers quiet, and let what it raises reach the user as one sentence."""
    try:
        with quiet():
            yield
    except Exception as error:  # transformers, safetensors and the hub's client raise dozens of kinds
        raise ColaError(f"{what} could not be loaded: {_reason(error)}.") from error


def _reason(error: Exception) -> str:
    """One of `REASONS`, else the beginning of what the library said."""
    cause: BaseException | None = error
    while cause is not None:
        for kind, reason in REASONS:
            if isinstance(cause, kind):
                return reason
        cause = cause.__cause__
    return shorten(str(error) or type(error).__name__, 200, placeholder=" …").rstrip(".")
