"""One run, from a configuration to a record, whatever its method."""

from contextlib import suppress
from pathlib import Path

import transformers
from packaging.version import Version

from colarepro.errors import ColaError
from colarepro.methods import method
from colarepro.results import Record
from colarepro.runs import ranks
from colarepro.runs.answer import answer
from colarepro.runs.config import RunConfig
from colarepro.runs.devices import tidy
from colarepro.runs.finetune import finetune
from colarepro.runs.material import gather

SHARDS = Version("5.19")


def check_ranks(config: RunConfig, *, sharded: bool) -> None:
    """Raise `ColaError` if the processes that were launched cannot share the run, or its weights."""
    processes = ranks.count()
    if processes == 1:
        if sharded:
            raise ColaError("--shard shares weights among processes, of which there is one; launch more by torchrun.")
        return
    if method(config.method).prepare is None:
        raise ColaError(f"{config.method} trains nothing by gradients, so expected one process, not {processes}.")
    if sharded and Version(transformers.__version__) < SHARDS:
        raise ColaError(
            f"--shard needs transformers {SHARDS}, whose Trainer leaves a sharded model as it is; here is "
            f"{transformers.__version__}."
        )
    if sharded and "adapter" not in method(config.method).reads:
        raise ColaError(f"--shard shares out frozen weights, of which {config.method} has none; expected an adapter.")
    if sharded and config.adapter.variant not in ("lora", "rslora"):
        raise ColaError(
            f"--shard has links merge by parts, which those of {config.adapter.variant} cannot; expected the variant "
            "lora or rslora."
        )
    if config.batch_size % (config.accumulation * processes):
        raise ColaError(
            f"{processes} processes with an accumulation of {config.accumulation} do not divide the batch size, "
            f"{config.batch_size}; expected numbers whose product does."
        )


def perform(
    config: RunConfig,
    device: str = "cpu",
    *,
    progress: bool = False,
    folder: Path | None = None,
    keep: Path | None = None,
    report_to: str = "none",
    sharded: bool = False,
) -> Record:
    """Fine-tune or answer as the method does, and judge on the test set.

    ``device`` is ``cpu`` or a CUDA device. ``folder`` keeps the checkpoints of a run that may be killed: performed
    again it goes on from the last whole one, and its record is that of the undisturbed run, its seconds apart, which
    are those of the last part; the caller deletes the folder once the record is safe. ``keep`` is a folder for the
    trained model (see `colarepro.runs.keep`). ``report_to`` names one of the trackers that transformers knows.

    On a GPU a run that can share its base with others is computed as a fleet of one, which is several times faster
    than the Trainer; what is kept, tracked or accumulated, and all else, goes through the Trainer.

    Started by ``torchrun`` or ``accelerate launch`` on many processes, it is one run whose batches they share; every
    process returns its record. It computes what one process does, up to rounding and what dropout draws. ``sharded``
    has them share the frozen weights, too (FSDP2).

    A run whose loss or link stops being finite gives a record with the status ``diverged``; wrong input raises
    `ColaError` before training.
    """
    from colarepro.fleet.fleet import Fleet  # a fleet is made of runs
    from colarepro.fleet.group import UnfitError, can_sail

    device = ranks.join(device)
    ranks.by_first(lambda: check_ranks(config, sharded=sharded))
    chosen = method(config.method)
    material = gather(config, device)
    if chosen.answer is not None:
        return answer(chosen.answer, material)
    plain = keep is None and report_to == "none" and ranks.count() == 1
    try:
        if device.startswith("cuda") and plain and can_sail(config):
            with suppress(UnfitError):
                return Fleet([config], device, material.loaded).sail(folder, progress=progress)[0]
            # A model that was to be shared is not the same any more, and a second may not fit beside it.
            del material
            tidy(device)
            material = gather(config, device)
        return finetune(material, progress=progress, folder=folder, keep=keep, report_to=report_to, sharded=sharded)
    except OSError as error:
        raise ColaError(
            f"The run's files could not be written or read ({error.filename or folder}: {error.strerror or error})."
        ) from error
