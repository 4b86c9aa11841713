"""One watched run, and its place in a folder of records."""

import dataclasses
import hashlib
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch

from colarepro.anatomy.curves import curves_of, short
from colarepro.anatomy.perplexity import tokens_of
from colarepro.anatomy.sample import sample_of
from colarepro.anatomy.watch import Watch
from colarepro.errors import ColaError
from colarepro.methods import Prepared, method
from colarepro.results import Record, Store
from colarepro.runs import RunConfig
from colarepro.runs.finetune import finetune
from colarepro.runs.material import gather
from colarepro.runs.stored import BusyError, claim, failed
from colarepro.tasks import encode

KIND: Final = "anatomy"


@dataclass(frozen=True)
class Text:
    """What perplexity is measured on: the first ``tokens`` tokens, in windows of ``window``."""

    content: str
    tokens: int
    window: int


@dataclass(frozen=True)
class Question:
    """A run, and how it is looked at: ``sample`` training examples give the loss and its gradient."""

    run: RunConfig
    sample: int
    text: Text

    def config(self) -> dict[str, Any]:
        """As a record keeps it; of the text its digest."""
        digest = hashlib.sha256(self.text.content.encode()).hexdigest()
        text = {"digest": digest, "tokens": self.text.tokens, "window": self.text.window}
        return self.run.question() | {"sample": self.sample, "text": text}


def examine(question: Question, device: str) -> Record:
    """Train as the run says, on the Trainer, and look.

    The radii of the balls are the largest nuclear norms that the run's own delta had, target by target: the smallest
    balls that hold all that was seen. Looks are after the last step, too, whatever epoch dev loss chooses later. Scores
    are the run's own and what was seen first and last. Raises `ColaError` for what cannot be trained or looked at.
    """
    config = question.run
    if method(config.method).prepare is None:
        raise ColaError(f"{config.method} trains nothing, so there is nothing to watch.")
    material = gather(config, device)
    tokenizer = material.loaded.tokenizer
    text = tokens_of(question.text.content, tokenizer, question.text.tokens)
    encoded = encode(material.task, material.splits.train, tokenizer, config.max_length)
    sample = sample_of(encoded, question.sample, tokenizer.pad_token_id, 4 * config.batch_size, device)
    watches: list[Watch] = []

    def watch(prepared: Prepared) -> Watch:
        watches.append(Watch(prepared, sample, text, question.text.window, getattr(torch, config.dtype)))
        return watches[0]

    trained = finetune(material, progress=False, folder=None, keep=None, report_to="none", watch=watch)
    points, seconds = watches[0].points, watches[0].seconds
    if not points:
        raise ColaError("The loss or its gradient is not finite before training, so there is nothing to see.")
    radius = np.max([point["nuclear"] for point in points], axis=0)
    seen = curves_of(points, radius)
    names = ("gap", "perplexity", "intruders", "rank", "stable_rank", "effective_rank", "delta_norm", "share")
    scores = {f"{name}_last": seen[name][-1] for name in names}
    scores |= {"gap_first": seen["gap"][0], "perplexity_first": seen["perplexity"][0], "radius": float(radius.sum())}
    scores["forgetting"] = seen["perplexity"][-1] - seen["perplexity"][0]
    kept = ("dev_step", "dev_loss", "dev_accuracy", "knots")
    curves: dict[str, list[Any]] = {name: trained.curves[name] for name in kept} | seen
    curves["radius"] = short(radius)
    curves["spectrum_last"] = short(points[-1]["spectrum"])  # a row a target
    curves["targets"] = [target.name.removeprefix("base_model.model.") for target in watches[0].targets]
    costs = trained.costs | {"seconds_train": trained.costs["seconds_train"] - seconds, "seconds_watch": seconds}
    return dataclasses.replace(
        trained, kind=KIND, config=question.config(), scores=trained.scores | scores, curves=curves, costs=costs
    )


def is_missing(question: Question, store: Store) -> bool:
    """Whether a question has no record, or that of a failure."""
    record = store.get(KIND, question.config())
    return record is None or record.status == "failed"


def examine_stored(question: Question, store: Store, device: str) -> None:
    """Examine and store, unless there is a record, or another process is on it; a failure is a record, too."""
    config = question.config()
    with suppress(BusyError), claim(store, store.path(KIND, config).stem):
        if is_missing(question, store):
            try:
                record = examine(question, device)
            except Exception as error:  # it is this run's and must not stop the others
                record = dataclasses.replace(failed(question.run, error, device), kind=KIND, config=config)
            store.put(record)
