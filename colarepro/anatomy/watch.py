"""Looks at the model while it trains: at the start, at every epoch's end, before and after every knot."""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from colarepro.anatomy.angles import angles_between, chance_angles
from colarepro.anatomy.curves import Point
from colarepro.anatomy.intruders import count_intruders, left_vectors, original_weight
from colarepro.anatomy.oracle import oracle
from colarepro.anatomy.perplexity import perplexity
from colarepro.anatomy.sample import Sample
from colarepro.anatomy.slope import Slope, slopes
from colarepro.anatomy.spectrum import effective_rank, numerical_rank, singular_values, stable_rank
from colarepro.chain.target import Factors, Target, targets_of
from colarepro.errors import ColaError
from colarepro.methods import Prepared


class Watch(TrainerCallback):
    """Gathers ``points``, one dictionary of numbers a look. It moves no random number and leaves no gradient, so that
    the run is what it would be unwatched.

    It must come before the chain's callback, so that the end of a step is still before the knot; the beginning of the
    next step is after it. Raises `ColaError` for a model whose adapters are no products of two factors.
    """

    def __init__(self, prepared: Prepared, sample: Sample, text: Tensor, window: int, dtype: torch.dtype) -> None:
        self.prepared = prepared
        self.sample = sample
        self.text = text
        self.window = window
        self.dtype = dtype
        self.points: list[Point] = []
        self.seconds = 0.0
        self._plain: list[Target] = []
        self._originals: dict[str, tuple[Tensor, Tensor]] = {}
        self._start: dict[str, Slope] = {}
        self._previous: dict[str, Factors] = {}

    @property
    def targets(self) -> Sequence[Target]:
        """The chain's, or where there is no chain those of the adapter."""
        chain = self.prepared.chain.chain if self.prepared.chain is not None else None
        if chain is not None:
            return chain.targets
        self._plain = self._plain or targets_of(self.prepared.model, "default")
        return self._plain

    @property
    def _knots(self) -> tuple[int, ...]:
        chain = self.prepared.chain.chain if self.prepared.chain is not None else None
        return () if chain is None else chain.plan.knots

    @property
    def _folds(self) -> bool:
        """Whether a knot begins another link."""
        return self.prepared.chain is not None and self.prepared.chain.schedule.fold != "none"

    def on_step_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if not self.points:
            self._look(state.global_step, "start")
        elif state.global_step in self._knots:
            self._look(state.global_step, "after knot")

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if state.global_step in self._knots:
            self._look(state.global_step, "before knot")

    def on_epoch_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._look(state.global_step, "after knot" if state.global_step in self._knots else "epoch")

    def _look(self, step: int, when: str) -> None:
        if any(point["step"] == step and point["when"] == when for point in self.points):
            return  # the end of an epoch and the beginning of the next step are one moment
        if not self.targets:
            raise ColaError("No link here is a product of two factors; expected a method that trains LoRA's.")
        started = time.perf_counter()
        model = self.prepared.model
        training = model.training
        model.eval()
        try:
            device = model.device.type
            with torch.autocast(device, torch.bfloat16, enabled=self.dtype == torch.bfloat16):
                self._measure(step, when)
        finally:
            model.train(training)
        self.seconds += time.perf_counter() - started

    def _measure(self, step: int, when: str) -> None:
        links = {target.name: target.link() for target in self.targets}
        if not all(bool(torch.isfinite(part).all()) for link in links.values() for part in (link.A, link.B)):
            return  # the run has diverged, and says so itself
        loss, now = slopes(self.prepared.model, self.targets, self.sample)
        if not now:
            return
        if when == "start" or (when == "after knot" and self._folds):
            self._start = now
        point: Point = {"step": step, "when": when, "loss": loss}
        point["perplexity"] = perplexity(self.prepared.model, self.text, self.window)
        point |= self._of_deltas(now) | self._of_links(links) | {"intruders": self._intruders(step)}
        self.points.append(point)
        if when == "before knot" and self._folds:
            self._previous = links

    def _of_deltas(self, now: dict[str, Slope]) -> Point:
        """What there is to say of all that the chain has added so far; lists have an entry a target."""
        rows: dict[str, list[Any]] = {}
        for target in self.targets:
            total, slope = target.total(), now[target.name]
            values = singular_values(total)
            entries = {
                "inner": slope.inner(total),
                "largest": slope.value,
                "gradient_norm": slope.norm,
                "nuclear": float(values.sum()),
                "delta_norm": float(torch.linalg.vector_norm(values)),
                "rank": numerical_rank(values),
                "stable_rank": stable_rank(values),
                "effective_rank": effective_rank(values),
                "spectrum": values.numpy(),
            }
            for name, entry in entries.items():
                rows.setdefault(name, []).append(entry)
        longest = max(len(values) for values in rows["spectrum"])
        rows["spectrum"] = [np.pad(values, (0, longest - len(values))) for values in rows["spectrum"]]
        return {name: np.array(entries, dtype=float) for name, entries in rows.items()}

    def _intruders(self, step: int) -> np.ndarray:
        """The most expensive look by far, so not twice at one step: a knot leaves the sum of all links what it was."""
        if self.points and self.points[-1]["step"] == step:
            last: np.ndarray = self.points[-1]["intruders"]
            return last
        return np.array([self._intruders_of(target) for target in self.targets])

    def _intruders_of(self, target: Target) -> int:
        total = target.total()
        if not total.B.any():
            return 0
        if target.name not in self._originals:
            original = original_weight(target)
            self._originals[target.name] = original, left_vectors(original)
        original, vectors = self._originals[target.name]
        return count_intruders(vectors, original + total.product())

    def _of_links(self, links: dict[str, Factors]) -> Point:
        """What there is to say of the current link, so far."""
        answers = [oracle(self._start[name], link) for name, link in links.items()]
        point: Point = {
            name: np.array([getattr(answer, name) for answer in answers])
            for name in ("shortfall", "share", "cosine_top", "cosine_gradient")
        }
        sides: dict[str, list[np.ndarray]] = {}
        rng = np.random.default_rng(0)
        for name, previous in self._previous.items():
            if not links[name].B.any():
                continue
            found = *angles_between(previous, links[name]), *chance_angles(previous, links[name], rng)
            for side, angles in zip(("columns", "rows", "columns_chance", "rows_chance"), found, strict=True):
                sides.setdefault(f"angles_{side}", []).append(angles)
        return point | {side: np.array(angles) for side, angles in sides.items()}
