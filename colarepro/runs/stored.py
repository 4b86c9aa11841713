"""A run and its place in a folder of records: done once, resumed if it was killed, one process at a time."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from filelock import FileLock, Timeout

from colarepro.errors import ColaError
from colarepro.methods import method
from colarepro.results import Record, Store, environment
from colarepro.runs import ranks
from colarepro.runs.config import RunConfig, check_tracker
from colarepro.runs.keep import one_sentence
from colarepro.runs.perform import perform


def run_stored(
    config: RunConfig,
    store: Store,
    device: str,
    *,
    progress: bool = False,
    keep: bool = False,
    retry_failed: bool = True,
    report_to: str = "none",
    sharded: bool = False,
) -> Record:
    """The record of a run: the stored one, else the run is performed, from its last checkpoint if there is one.

    ``keep`` keeps the trained model in ``models/<identity>`` beside the records; a run whose record is there but
    not its model is performed again. What a tracker leaves in the run's folder, as TensorBoard does, goes to
    ``tracked/<identity>``. Raises `ColaError` if another process is on the same run, if the tracker cannot be used,
    or if the disk is full; the run then goes on from its last checkpoint another time. Of many processes that share
    the run, rank 0 alone claims it and writes.
    """
    device = ranks.join(device)
    path = store.path("llm", config.question())
    kept = store.model(path.stem)
    unfinished = store.unfinished(path.stem)

    def there() -> Record | None:
        record = store.get("llm", config.question())
        if record is not None and not is_missing(record, store, keep=keep, retry_failed=retry_failed):
            return record
        check_tracker(report_to)
        return None

    def leave(record: Record) -> None:
        store.put(record)
        shutil.rmtree(unfinished, ignore_errors=True)

    with ExitStack() as held:
        ranks.by_first(lambda: held.enter_context(claim(store, path.stem)))
        if stored := ranks.by_first(there):
            return stored
        with one_sentence(f"What the run {path.stem} leaves in {store.folder}"):
            record = perform(
                config,
                device,
                progress=progress,
                folder=unfinished,
                keep=kept if keep else None,
                report_to=report_to,
                sharded=sharded,
            )
            if report_to != "none" and unfinished.exists() and ranks.is_first():
                tracked, checkpoints = store.folder / "tracked" / path.stem, shutil.ignore_patterns("checkpoint-*")
                shutil.copytree(unfinished, tracked, ignore=checkpoints, dirs_exist_ok=True)
        ranks.by_first(lambda: leave(record))
        return record


def is_missing(record: Record | None, store: Store, *, keep: bool, retry_failed: bool) -> bool:
    """Whether a run is to be performed: it has no record, it failed and may be tried again, or it is done and its model
    is to be kept and is not there."""
    if record is None or record.status == "failed":
        return record is None or retry_failed
    trains = method(record.config["method"]).prepare is not None
    return keep and trains and record.status == "done" and not store.model(record.identity).exists()


def failed(config: RunConfig, error: Exception, device: str) -> Record:
    """The record of a run that ended in an exception."""
    said = next(iter(str(error).strip().splitlines()), "")
    reason = said if isinstance(error, ColaError) else f"{type(error).__name__}: {said}"
    return Record(kind="llm", config=config.question(), status="failed", reason=reason, environment=environment(device))


@contextmanager
def claim(store: Store, identity: str) -> Iterator[None]:
    """Within the block this process alone is on a run; raises `BusyError` if another one is."""
    lock = store.unfinished(identity).with_suffix(".lock")
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        held = FileLock(lock, timeout=0)
        held.acquire()
    except Timeout:
        raise BusyError(f"Another process is on the run {identity} in {store.folder}.") from None
    except OSError as error:
        raise ColaError(f"The folder {store.folder} cannot be written to: {error.strerror}.") from error
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)
        held.release()


class BusyError(ColaError):
    """Another process is on the same run."""
