"""The voyage of a fleet: every step of every run, each epoch's judgement, and a record a run."""

import dataclasses
import json
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.functional import cross_entropy

from colarepro.errors import ColaError
from colarepro.files import written_aside
from colarepro.fleet.adam import Adam
from colarepro.fleet.adapters import Adapters
from colarepro.fleet.arm import arm_of
from colarepro.fleet.attention import NAME, packed_batch
from colarepro.fleet.graphs import Steps
from colarepro.fleet.norms import fuse_norms
from colarepro.fleet.packed import Packed, Pool, Shape
from colarepro.models.candidates import label_rows
from colarepro.models.load import load
from colarepro.results import Record
from colarepro.runs.config import RunConfig
from colarepro.runs.costs import Fed, flops_by_formula, peak_bytes, reset_peak
from colarepro.runs.material import gather
from colarepro.runs.order import order
from colarepro.tasks import Example, encode

STATE = "fleet.safetensors"
"""A fleet's state in its folder."""

FILL = 1024, 64
"""On a GPU a step's tokens and its longest prompt are filled up to multiples of these."""

JUDGED_TOKENS = 2**16
"""Of one evaluation batch."""


@dataclass
class Course:
    """What one run has been through."""

    losses: list[float] = field(default_factory=list)
    dev_steps: list[int] = field(default_factory=list)
    dev_losses: list[float] = field(default_factory=list)
    dev_accuracies: list[float] = field(default_factory=list)
    fed: Fed = field(default_factory=Fed)
    reason: str = ""
    """Why the run ended early; empty if it did not."""


class Fleet:
    """Runs of one task and model; learning rates, seeds, draws of the data, adapters and chains may all differ.

    `colarepro.fleet.group` says which runs can sail together. All examples lie on the device, those that several
    runs have drawn once.
    """

    def __init__(self, configs: Sequence[RunConfig], device: str) -> None:
        reset_peak(device)
        started = time.perf_counter()
        first = configs[0]
        self.device, self.dtype, self.batch_size = device, getattr(torch, first.dtype), first.batch_size
        loaded = load(first.model, self.dtype, device)
        self.materials = [gather(config, device, loaded) for config in configs]
        self.model = loaded.model.requires_grad_(False)
        self._lay_out(loaded.tokenizer, first.max_length)
        self.arms = [arm_of(material.config, len(material.splits.train)) for material in self.materials]
        self.steps = self.arms[0].plan.total_steps
        self.model.set_attn_implementation(NAME)
        fuse_norms(self.model)
        self.adapters = Adapters(self.arms, self.model, device, self.dtype)
        self.adam = Adam(self.arms, device)
        self.halves = Steps(self._losses, self._update, device)
        # What is recorded must come again: few shapes on a GPU, exact ones elsewhere.
        self.fill = FILL if device.startswith("cuda") else (1, 1)
        # A mask that is ready spares transformers from looking for packed prompts in the positions.
        self._no_mask = torch.ones(1, 1, 1, 1, dtype=torch.bool, device=device)
        self.best = self.adapters.values.clone()
        self.courses = [Course() for _ in configs]
        self.seconds = {"prepare": time.perf_counter() - started, "train": 0.0, "dev": 0.0, "knots": 0.0, "test": 0.0}

    def sail(self, folder: Path | None = None) -> list[Record]:
        """All steps, all epochs, the test; one record a run, in the order of the configurations.

        ``folder`` keeps the state after every epoch: the same fleet that was killed goes on from there, and ends in
        the same records but for their seconds. The caller deletes it once the records are safe.
        """
        with label_rows(self.model, self.verbalizers):
            self._train(folder)
            return self._records()

    def _train(self, folder: Path | None) -> None:
        started = time.perf_counter()
        examples = len(self.train[0])
        per_epoch = math.ceil(examples / self.batch_size)
        self.model.train()
        begin = 0 if folder is None else self._load(folder)
        for step in range(begin, self.steps):
            epoch, place = divmod(step, per_epoch)
            if place == 0:
                orders = [
                    drawn[order(material.config.seed, epoch, examples)]
                    for drawn, material in zip(self.train, self.materials, strict=True)
                ]
            chosen = slice(place * self.batch_size, (place + 1) * self.batch_size)
            self._step(step, [each[chosen] for each in orders])
            if place == per_epoch - 1 or step == self.steps - 1:
                self._judge(step + 1)
                if folder is not None:
                    self._save(folder, step + 1)
        self.seconds["train"] = time.perf_counter() - started

    @property
    def sailing(self) -> list[int]:
        """Indices of the runs that have not ended early."""
        return [run for run, course in enumerate(self.courses) if not course.reason]

    def _lay_out(self, tokenizer: object, max_length: int) -> None:
        """Every distinct example once, and each run's splits as indices into them."""
        places: dict[Example, int] = {}

        def indices(examples: Sequence[Example]) -> np.ndarray:
            return np.array([places.setdefault(example, len(places)) for example in examples])

        splits = [material.splits for material in self.materials]
        self.train = [indices(each.train) for each in splits]
        self.dev = [indices(each.dev) for each in splits]
        self.test = [indices(each.test) for each in splits]
        encoded = encode(self.materials[0].task, list(places), tokenizer, max_length)
        if not encoded.single_token:
            raise ColaError("The verbalizers are more than one token each; such runs sail alone.")
        self.pool = Pool(encoded.prompts, encoded.labels, len(splits), self.device)
        self.verbalizers = [candidate[0] for candidate in encoded.candidates]

    def _step(self, step: int, batches: list[np.ndarray]) -> None:
        while sailing := self.sailing:
            prompts, runs = _together(batches, sailing)
            shape = self.pool.shape(prompts, *self.fill)
            losses = self.halves.forward(self.pool.plan(prompts, runs, shape), shape, step)
            # A NaN would reach the others in the sums over all tokens, so its run is left out and the step begun again.
            done = [run for run in sailing if not math.isfinite(losses[run])] or sailing
            for run in done:
                course, lengths = self.courses[run], self.pool.lengths[batches[run]]
                course.losses.append(losses[run])
                course.fed.add_packed(lengths, shape.longest, self.adapters.trained_now(run))
                if not math.isfinite(losses[run]):
                    course.reason = f"The training loss was not finite at step {step + 1}."
            if done is sailing:
                break
        else:
            return
        self.halves.backward()
        if due := [run for run in sailing if step + 1 in self.arms[run].plan.knots]:
            started = time.perf_counter()
            for run in due:
                self.adapters.tie(run)
            self.adapters.round()
            self.seconds["knots"] += time.perf_counter() - started

    def _losses(self, plan: Tensor, shape: Shape) -> Tensor:
        """Every run's mean loss over its prompts; zero for one that has none."""
        packed = self.pool.packed(plan, shape)
        each = cross_entropy(self._scores(packed), packed.labels, reduction="none")
        zeros = each.new_zeros(len(self.courses))
        counts = zeros.index_add(0, packed.runs, torch.ones_like(each))
        means = zeros.index_add(0, packed.runs, each) / counts.clamp(min=1)
        return means.masked_fill(self.adapters.lost, math.nan)

    def _update(self, losses: Tensor, number: Tensor) -> None:
        losses.sum().backward()
        self.adapters.collect_gradients()
        self.adam.step(self.adapters, number)

    def _judge(self, step: int) -> None:
        """Dev loss and accuracy of every run; its best values so far are kept."""
        started = time.perf_counter()
        scores = self._scores_of(self.dev)
        for run in self.sailing:
            course, truth = self.courses[run], torch.from_numpy(self.pool.labels[self.dev[run]])
            loss = float(cross_entropy(scores[run], truth))
            if self.adapters.lost[run] or not math.isfinite(loss):
                continue  # the next step says so, if there is one
            if not course.dev_losses or loss < min(course.dev_losses):
                self.best[self.adapters.rows(run)] = self.adapters.values[self.adapters.rows(run)]
            course.dev_steps.append(step)
            course.dev_losses.append(loss)
            course.dev_accuracies.append(float((scores[run].argmax(1) == truth).double().mean()))
        self.seconds["dev"] += time.perf_counter() - started

    @torch.no_grad()
    def _scores_of(self, parts: Sequence[np.ndarray]) -> dict[int, Tensor]:
        """Scores of every sailing run's prompts, float32 (prompts, candidates) in their order, on the host."""
        sailing = self.sailing
        if not sailing:
            return {}
        prompts, runs = _together(parts, sailing)
        by_length = np.argsort(-self.pool.lengths[prompts], kind="stable")
        found = []
        self.model.eval()
        for chosen in _chunks(by_length, self.pool.lengths[prompts]):
            shape = self.pool.shape(prompts[chosen])
            plan = torch.from_numpy(self.pool.plan(prompts[chosen], runs[chosen], shape)).to(self.device)
            found.append(self._scores(self.pool.packed(plan, shape)))
        self.model.train()
        scores = torch.empty(len(prompts), len(self.verbalizers))
        scores[torch.from_numpy(by_length)] = torch.cat(found).cpu()
        ends = np.cumsum([len(parts[run]) for run in sailing])
        return dict(zip(sailing, scores.tensor_split(ends[:-1].tolist()), strict=True))

    def _scores(self, packed: Packed) -> Tensor:
        """Logits of the verbalizers after each prompt, float32 (prompts, candidates)."""
        self.adapters.select(packed.owners)
        with packed_batch(packed):
            inputs = {"input_ids": packed.ids, "position_ids": packed.positions, "logits_to_keep": packed.last}
            logits: Tensor = self.model(**inputs, attention_mask=self._no_mask, use_cache=False).logits
        return logits[0].float()

    def _save(self, folder: Path, steps: int) -> None:
        """In one file, written aside: whole or absent."""
        courses = json.dumps([dataclasses.asdict(course) for course in self.courses])
        with written_aside(folder / STATE) as aside:
            tensors = self.adapters.state() | {"best": self.best}
            save_file(tensors, aside, metadata={"steps": str(steps), "courses": courses})

    def _load(self, folder: Path) -> int:
        """The steps that were done when the state in ``folder`` was saved; 0 if there is none."""
        if not (folder / STATE).exists():
            return 0
        with safe_open(folder / STATE, framework="pt", device=self.device) as file:
            metadata, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        steps, courses = int(metadata["steps"]), json.loads(metadata["courses"])
        self.courses = [Course(**course | {"fed": Fed(**course["fed"])}) for course in courses]
        self.best = tensors.pop("best")
        self.adapters.restore(tensors, [arm.plan.link_at(steps) for arm in self.arms])
        return steps

    def _records(self) -> list[Record]:
        started = time.perf_counter()
        self.adapters.values.copy_(self.best)
        self.adapters.round()
        for course in self.courses:
            if not course.dev_losses and not course.reason:
                course.reason = "The dev loss was not finite after any epoch."
        predicted = {run: scores.argmax(1).tolist() for run, scores in self._scores_of(self.test).items()}
        self.seconds["test"] = time.perf_counter() - started
        return [self._record(run, predicted.get(run)) for run in range(len(self.courses))]

    def _record(self, run: int, predicted: list[int] | None) -> Record:
        material, arm, course = self.materials[run], self.arms[run], self.courses[run]
        judged: dict[str, float] = {}
        if predicted is not None:
            best = int(np.argmin(course.dev_losses))
            judged = material.judge(predicted) | {
                "dev_loss": course.dev_losses[best],
                "dev_accuracy": course.dev_accuracies[best],
                "best_step": course.dev_steps[best],
            }
        steps = len(course.losses)
        return material.record(
            predicted,
            status="diverged" if course.reason else "done",
            reason=course.reason,
            scores=judged,
            curves={
                "step": list(range(1, steps + 1)),
                "loss": course.losses,
                "learning_rate": self.adam.rates[run, :steps].tolist(),
                "dev_step": course.dev_steps,
                "dev_loss": course.dev_losses,
                "dev_accuracy": course.dev_accuracies,
                "knots": list(arm.plan.knots),
            },
            costs={
                "parameters": arm.parameters,
                "parameters_trained": arm.parameters_trained,
                "tokens": course.fed.tokens,
                "padding_share": course.fed.padding_share,
                "flops_train": flops_by_formula(self.model, course.fed),
                "flops_train_counted": arm.counted.flops_of(course.fed),
                "fleet": len(self.courses),
                **{f"seconds_{phase}": taken / len(self.courses) for phase, taken in self.seconds.items()},
                "peak_bytes": peak_bytes(self.device),
            },
        )


def _together(parts: Sequence[np.ndarray], runs: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """These runs' parts end to end, and whose each entry is."""
    return (
        np.concatenate([parts[run] for run in runs]),
        np.concatenate([np.full(len(parts[run]), run) for run in runs]),
    )


def _chunks(places: np.ndarray, lengths: np.ndarray) -> Iterator[np.ndarray]:
    """Consecutive places of at most `JUDGED_TOKENS` each, spread out to the longest, which is the first."""
    start = 0
    while start < len(places):
        count = max(1, JUDGED_TOKENS // int(lengths[places[start]]))
        yield places[start : start + count]
        start += count
