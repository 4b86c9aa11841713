"""The checkpoints of a run that may be killed at any instant."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from colarepro.files import written_aside
from colarepro.runs import ranks
from colarepro.runs.costs import Fed

MARK = "whole.json"
"""A checkpoint folder that has this file has everything else too; it is written last."""


class MarkWhole(TrainerCallback):
    """Marks every checkpoint once it is complete, and keeps in the mark the digest of the ``weights`` that the run
    began with, and the trainer's own counters. A run that is taken up again looks for its best checkpoint where the
    others are, since the folder may have been moved.

    It must be the last of the callbacks, since the others may write into a checkpoint as well.
    """

    trainer: Any = None

    def __init__(self, weights: str) -> None:
        self.weights = weights

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        best = Path(str(args.output_dir)) / f"checkpoint-{state.best_global_step}"
        if best.is_dir():
            state.best_model_checkpoint = str(best)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        mark = Path(str(args.output_dir)) / f"checkpoint-{state.global_step}" / MARK
        fed = self.trainer.fed_of_all()  # returns once every rank has written its part of the checkpoint
        if ranks.is_first():
            with written_aside(mark) as aside:
                aside.write_text(json.dumps({"weights": self.weights, "fed": dataclasses.asdict(fed)}))

    def resume(self, checkpoint: Path) -> None:
        """Take the trainer's counters up from a whole checkpoint, of however many ranks; rank 0 counts for all."""
        if ranks.is_first():
            self.trainer.fed = Fed(**json.loads((checkpoint / MARK).read_text())["fed"])


def last_whole(folder: Path, weights: str) -> Path | None:
    """The latest whole checkpoint of a run's folder, or None; those that a kill left half-written are deleted, and
    those of a run that began with other weights."""
    found: list[tuple[int, Path]] = []
    for checkpoint in folder.glob("checkpoint-*"):
        mark = checkpoint / MARK
        if mark.exists() and json.loads(mark.read_text()).get("weights") == weights:
            found.append((int(checkpoint.name.rsplit("-", 1)[1]), checkpoint))
        else:
            shutil.rmtree(checkpoint)
    return max(found)[1] if found else None
