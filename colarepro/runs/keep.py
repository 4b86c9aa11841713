"""The trained model of a run on disk: an adapter that PEFT loads, or a whole model where no adapter can hold it."""

import shutil
from pathlib import Path

import torch
from peft import PeftModel

from colarepro.chain import Chain, Schedule, export_adapter, export_merged
from colarepro.errors import ColaError
from colarepro.files import folder_aside
from colarepro.methods.prepared import Prepared
from colarepro.models import load
from colarepro.results import Record, Store

ADAPTER, MODEL = "adapter", "model"


def keep_model(prepared: Prepared, folder: Path) -> None:
    """Write ``folder``/adapter, a chain as one adapter of the summed rank; or ``folder``/model after full
    fine-tuning."""
    model, chain = prepared.model, prepared.chain.chain if prepared.chain is not None else None
    shutil.rmtree(folder, ignore_errors=True)
    with folder_aside(folder) as aside:
        if chain is not None and chain.schedule.fold != "none":
            export_adapter(chain, aside / ADAPTER)
        elif hasattr(model, "peft_config"):
            model.save_pretrained(aside / ADAPTER)
        else:
            model.save_pretrained(aside / MODEL)


def export_kept(record: Record, store: Store, to: str, folder: Path) -> Path:
    """Write a kept model as an ``adapter``, or ``merged`` into its base with the tokenizer; returns ``folder``.

    The base is loaded anew, as the run loaded it. Raises `ColaError` if nothing was kept, if ``folder`` exists, if
    full fine-tuning left no adapter, or if the base's weights are not those that the run began with.
    """
    kept = store.model(record.identity)
    if not kept.exists():
        raise ColaError(f"The model of run {record.identity} was not kept; perform the run again with --keep.")
    if folder.exists():
        raise ColaError(f"{folder} exists already; expected a folder that does not.")
    if to == "adapter" and not (kept / ADAPTER).exists():
        raise ColaError(f"Run {record.identity} trained by {record.config['method']}, which leaves no adapter.")
    with folder_aside(folder) as aside:
        if to == "adapter":
            shutil.copytree(kept / ADAPTER, aside, dirs_exist_ok=True)
            return folder
        base = load(record.config["model"], getattr(torch, record.config["dtype"]))
        if base.digest != record.digests["weights"]:
            raise ColaError(f"The model {base.name} has other weights now than run {record.identity} began with.")
        if (kept / ADAPTER).exists():
            export_merged(
                as_chain(PeftModel.from_pretrained(base.model, str(kept / ADAPTER), is_trainable=True)), aside
            )
        else:
            shutil.copytree(kept / MODEL, aside, dirs_exist_ok=True)
        base.tokenizer.save_pretrained(aside)
    return folder


def as_chain(model: PeftModel) -> Chain:
    """An adapter as a chain of one link, whose merge is exact."""
    return Chain(model, Schedule(length=1), total_steps=1)
