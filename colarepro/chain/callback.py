"""The chain inside ``transformers.Trainer``."""

import dataclasses
import math
import time
from pathlib import Path
from typing import Any

from torch import nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import ExportableState

from colarepro.chain.chain import FILE, Chain, read_state
from colarepro.chain.choose import links_of
from colarepro.chain.links import Links
from colarepro.chain.schedule import Schedule
from colarepro.errors import ColaError


class ChainCallback(TrainerCallback, ExportableState):
    """Ties the knots of a `Schedule` while a Trainer trains, and keeps the chain in the Trainer's checkpoints.

    Pass it in ``Trainer(callbacks=[...])``. Every checkpoint gets the file ``chain.safetensors``; resuming takes it
    up again, and ``load_best_model_at_end`` restores past links together with the adapter. A checkpoint is looked
    for in ``resume_from`` if given, else in the Trainer's own output folder. With links of other ranks, one that is
    added later (``add_callback``) is too late for a checkpoint that training resumes from.

    ``chain`` is the running `Chain`, for exports once training is over.
    """

    def __init__(
        self,
        schedule: Schedule | dict[str, Any],
        *,
        seed: int = 0,
        adapter: str = "default",
        resume_from: str | None = None,
    ) -> None:
        self.schedule = Schedule(**schedule) if isinstance(schedule, dict) else schedule
        self.seed = seed
        self.adapter = adapter
        self.resume_from = resume_from
        self.chain: Chain | None = None
        self._watched: nn.Module | None = None
        self.seconds = 0.0
        """What the knots have taken."""

    def state(self) -> dict[str, Any]:
        """What trainer_state.json keeps: the arguments, which link was training, and of which chain."""
        return {
            "args": {"schedule": dataclasses.asdict(self.schedule), "seed": self.seed, "adapter": self.adapter},
            "attributes": {
                "link": self.chain.link if self.chain else 0,
                "identity": self.chain.identity if self.chain else None,
            },
        }

    def on_init_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, *, model: nn.Module, **_: Any
    ) -> None:
        self._keep_ranks(model, links_of(model, self.adapter, self.schedule))

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        *,
        model: nn.Module,
        optimizer: Any,
        lr_scheduler: Any,
        train_dataloader: Any,
        **_: Any,
    ) -> None:
        if args.world_size > 1 and self.schedule.ranks:
            raise ColaError("The links have other ranks, which many processes cannot train; expected one process.")
        self.chain = Chain(
            model,
            self.schedule,
            total_steps=state.max_steps,
            steps_per_epoch=_steps_per_epoch(train_dataloader, args.gradient_accumulation_steps),
            optimizer=optimizer,
            scheduler=lr_scheduler,
            adapter=self.adapter,
            seed=self.seed,
        )
        self._keep_ranks(model, self.chain.links)  # maybe of another model than on_init_end saw, or the first
        if state.global_step > 0:
            self.chain.load(self._checkpoint(args, state))

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        assert self.chain is not None
        started = time.perf_counter()
        if self.chain.step():
            self.seconds += time.perf_counter() - started

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if self.chain is not None and (state.is_world_process_zero or self.chain.links.sharded):
            self.chain.save(Path(args.output_dir) / f"checkpoint-{state.global_step}")

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if args.load_best_model_at_end and state.best_model_checkpoint is not None and self.chain is not None:
            self.chain.load(state.best_model_checkpoint)

    def _keep_ranks(self, model: nn.Module, links: Links) -> None:
        if self.schedule.ranks and model is not self._watched:
            links.keep_ranks_on_load()
            self._watched = model

    def _checkpoint(self, args: TrainingArguments, state: TrainerState) -> Path:
        candidates = [
            self.resume_from,
            args.resume_from_checkpoint,
            f"{args.output_dir}/checkpoint-{state.global_step}",
        ]
        for candidate in candidates:
            if isinstance(candidate, str) and (Path(candidate) / FILE).exists():
                self._check_identity(Path(candidate) / FILE, state)
                return Path(candidate)
        raise ColaError(
            f"Training resumes at step {state.global_step}, but no {FILE} was found in {candidates[-1]}; give "
            "ChainCallback(resume_from=...) the checkpoint, or resume from an earlier one."
        )

    def _check_identity(self, path: Path, state: TrainerState) -> None:
        """The Trainer has loaded its own checkpoint by now, which may lie elsewhere."""
        saved = state.stateful_callbacks.get(type(self).__name__, {})
        expected = saved.get("attributes", {}).get("identity") if isinstance(saved, dict) else None
        found = read_state(path)[0].get("identity")
        if expected and found and found != expected:
            raise ColaError(
                f"{path} is of another training than the checkpoint that this one resumes from; give "
                "ChainCallback(resume_from=...) that checkpoint's folder."
            )


def _steps_per_epoch(train_dataloader: Any, accumulation: int) -> int | None:
    try:
        return max(1, math.ceil(len(train_dataloader) / accumulation))
    except TypeError:  # a stream has no length
        return None
