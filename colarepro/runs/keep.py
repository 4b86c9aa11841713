"""The trained model of a run on disk: an adapter that PEFT loads, or a whole model where no adapter can hold it."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from safetensors import SafetensorError

from colarepro.chain import Chain, Schedule, export_adapter, export_merged
from colarepro.errors import ColaError
from colarepro.files import folder_aside
from colarepro.methods import method
from colarepro.methods.prepared import Prepared
from colarepro.models import load
from colarepro.models.load import load_tokenizer
from colarepro.models.quiet import quiet
from colarepro.results import Record, Store

ADAPTER, MODEL = "adapter", "model"


def keep_model(prepared: Prepared, folder: Path) -> None:
    """Write ``folder``/adapter, a chain as one adapter of the summed rank.

    Where no adapter over the base computes what the model does, write the whole model to ``folder``/model: after full
    fine-tuning, after a chain of links that PEFT builds anew, and after a start that changes the base (PiSSA).
    """
    model, chain = prepared.model, prepared.chain.chain if prepared.chain is not None else None
    shutil.rmtree(folder, ignore_errors=True)
    with folder_aside(folder) as aside, quiet():
        if not hasattr(model, "peft_config"):
            model.save_pretrained(aside / MODEL)
        elif chain is not None and chain.schedule.fold != "none":
            if chain.targets:
                export_adapter(chain, aside / ADAPTER)
            else:
                export_merged(chain, aside / MODEL)
        elif _leaves_base(model):
            model.save_pretrained(aside / ADAPTER)
        else:
            export_merged(as_chain(model), aside / MODEL)


def export_kept(record: Record, store: Store, to: str, folder: Path, base: str | None = None) -> Path:
    """Write a kept model as an ``adapter``, or ``merged`` into its base with the tokenizer; returns ``folder``.

    ``base`` says where the base is if not where the record says, which knows of a folder its name alone. It is loaded
    anew, as the run loaded it. Raises `ColaError` if nothing was kept, if ``folder`` exists or cannot be written, if
    the run left no adapter, or if the base's weights are not those that the run began with.
    """
    config, kept = record.config, store.model(record.identity)
    if not kept.exists():
        raise ColaError(f"The model of run {record.identity} is not there: {_why_not(record)}.")
    if folder.exists():
        raise ColaError(f"{folder} exists already; expected a folder that does not.")
    if to == "adapter" and not (kept / ADAPTER).exists():
        raise ColaError(
            f"Run {record.identity} trained by {config['method']}, whose model no adapter holds; expected --to merged."
        )
    with one_sentence(f"The export to {folder}"), folder_aside(folder) as aside, quiet():
        if to == "adapter":
            shutil.copytree(kept / ADAPTER, aside, dirs_exist_ok=True)
        elif (kept / ADAPTER).exists():
            loaded = load(base or config["model"], getattr(torch, config["dtype"]))
            if loaded.digest != record.digests["weights"]:
                raise ColaError(f"The model {loaded.name} has other weights now than run {record.identity} began with.")
            adapted = PeftModel.from_pretrained(loaded.model, str(kept / ADAPTER), is_trainable=True)
            export_merged(as_chain(adapted), aside)
            loaded.tokenizer.save_pretrained(aside)
        else:
            shutil.copytree(kept / MODEL, aside, dirs_exist_ok=True)
            load_tokenizer(base or config["model"]).save_pretrained(aside)
    return folder


def as_chain(model: PeftModel) -> Chain:
    """An adapter as a chain of one link, which is merged once, at the end."""
    return Chain(model, Schedule(length=1, fold="none"), total_steps=1)


def _leaves_base(model: Any) -> bool:
    """Whether the adapter's start left the base as it was; PiSSA's takes its own part out of the weights."""
    return getattr(model.peft_config["default"], "init_lora_weights", True) in (True, "gaussian")


def _why_not(record: Record) -> str:
    if method(record.config["method"]).prepare is None:
        return f"{record.config['method']} trains none"
    if record.status != "done":
        return f"the run {record.status}"
    return "it was not kept; perform the run again with --keep"


@contextmanager
def one_sentence(what: str) -> Iterator[None]:
    """Let a full disk or a read-only folder within the block reach the user as a `ColaError` about ``what``."""
    try:
        yield
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        raise ColaError(f"{what} could not be written ({place}{error.strerror or error}).") from error
    except SafetensorError as error:
        raise ColaError(f"{what} could not be written ({error}).") from error
    except RuntimeError as error:
        # Of a full disk torch.save says no more than that its writer is not where it should be.
        if "inline_container" not in str(error) and "PytorchStreamWriter" not in str(error):
            raise
        raise ColaError(f"{what} could not be written (torch.save stopped, as on a full disk).") from error
