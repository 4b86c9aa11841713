"""The voyage of a fleet: every step of every run, each epoch's judgement, and a record a run."""

import dataclasses
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from rich.progress import Progress
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.functional import cross_entropy

from colarepro.files import written_aside
from colarepro.fleet.adam import Adam
from colarepro.fleet.arm import arm_of
from colarepro.fleet.attention import has_ragged_attention
from colarepro.fleet.course import Course
from colarepro.fleet.graphs import Steps
from colarepro.fleet.group import UnfitError
from colarepro.fleet.packed import Pool, Shape, packed_batch, step_of
from colarepro.fleet.probe import Probe, scores
from colarepro.fleet.shared import compile_layers, share
from colarepro.models.load import LoadedModel, load
from colarepro.results import Record
from colarepro.results.unfinished import STATE
from colarepro.runs.config import RunConfig
from colarepro.runs.costs import Fed, peak_bytes, reset_peak
from colarepro.runs.devices import tidy
from colarepro.runs.judge import NEVER_FINITE, judge
from colarepro.runs.material import gather
from colarepro.runs.order import order
from colarepro.tasks import Example, encode

SAVED_AFTER = 30.0
"""Seconds of work that a kill may undo at most, whole epochs apart."""

JUDGED_TOKENS = 2**16
"""Of one evaluation batch."""


class Fleet:
    """Runs of one task and model; learning rates, seeds, draws of the data, adapters and chains may all differ.

    `colarepro.fleet.group` says which runs can sail together; one alone is a fleet as well. All examples lie on the
    device, those that several runs have drawn once. No number of a run ever meets one of another's.

    A model that has dropout draws it for all runs at once, seeded by the first run's seed and the epoch; such a run's
    record equals the one that it gives alone in distribution only.
    """

    def __init__(self, configs: Sequence[RunConfig], device: str, loaded: LoadedModel | None = None) -> None:
        """``loaded`` is the model if it is there already; it is changed. Raises `UnfitError` for runs that must go
        alone, through the Trainer."""
        if device.startswith("cuda"):
            torch.cuda.set_device(device)  # graphs are recorded on the current device
            tidy(device)
        reset_peak(device)
        started = time.perf_counter()
        first = configs[0]
        self.device, self.batch_size = device, first.batch_size
        loaded = loaded or load(first.model, getattr(torch, first.dtype), device)
        self.materials = [gather(config, device, loaded) for config in configs]
        self._lay_out(loaded.tokenizer, first.max_length)
        self.arms = [arm_of(material.config, len(material.splits.train)) for material in self.materials]
        self.steps = self.arms[0].plan.total_steps
        self.model, self.weights = loaded.model, loaded.digest
        probe = Probe(self.model, self.pool.some_tokens(3), self.verbalizers, device)
        self.stack = share(self.model, self.arms, self.verbalizers, device, getattr(torch, first.dtype))
        probe.check(self.model, len(self.arms))
        self.model.train()
        # There, what is computed for a shape is kept, so few shapes are wanted; elsewhere exact ones, and attention is
        # spread out, which torch 2.11 cannot compile.
        self.ragged = has_ragged_attention(device, getattr(torch, first.dtype))
        if self.ragged:
            compile_layers(self.model)
        self.adam = Adam(self.arms, device)
        self.paces = Steps(self._train_step, device, record=self.ragged)
        self.tokens = self.positions = 0
        """What steps were fed so far, without what filled them up and with it."""
        self.losses = torch.full((self.steps, len(configs)), math.nan, device=device)
        self.courses = [Course() for _ in configs]
        self.seconds = {"prepare": time.perf_counter() - started, "train": 0.0, "dev": 0.0, "knots": 0.0, "test": 0.0}

    def sail(self, folder: Path | None = None, *, progress: bool = False) -> list[Record]:
        """All steps, all epochs, the test; one record a run, in the order of the configurations.

        ``folder`` keeps the state at the end of an epoch, if `SAVED_AFTER` seconds have passed: the same fleet that was
        killed goes on from there, and ends in the same records but for their seconds, and on a GPU for rounding. The
        caller deletes it once the records are safe.
        """
        with Progress(disable=not progress) as bars:
            bar = bars.add_task("steps", total=self.steps)
            self._train(folder, lambda steps: bars.update(bar, completed=steps))
        return self._records()

    def _train(self, folder: Path | None, report: Callable[[int], None]) -> None:
        started = saved = time.perf_counter()
        examples = len(self.train[0])
        per_epoch = math.ceil(examples / self.batch_size)
        begin = 0 if folder is None else self._load(folder)
        for first in range(begin, self.steps, per_epoch):
            epoch, steps = first // per_epoch, range(first, min(first + per_epoch, self.steps))
            torch.manual_seed(int(np.random.SeedSequence([self.arms[0].config.seed, epoch]).generate_state(1)[0]))
            orders = [
                drawn[order(material.config.seed, epoch, examples)]
                for drawn, material in zip(self.train, self.materials, strict=True)
            ]
            batches = [
                [each[place : place + self.batch_size] for each in orders]
                for place in range(0, len(steps) * self.batch_size, self.batch_size)
            ]
            for step, batch in zip(steps, batches, strict=True):
                self._step(step, batch)
                report(step + 1)
            self._log(steps, batches)
            self._judge(steps.stop)
            if folder is not None and time.perf_counter() - saved >= SAVED_AFTER:
                self._save(folder, steps.stop)
                saved = time.perf_counter()
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
            raise UnfitError("The verbalizers are more than one token each; such runs sail alone.")
        self.pool = Pool(encoded.prompts, encoded.labels, len(splits), self.device)
        self.verbalizers = [candidate[0] for candidate in encoded.candidates]

    def _shape(self, prompts: np.ndarray) -> Shape:
        if not self.ragged:
            return self.pool.shape(prompts)
        fill = step_of(int(self.pool.lengths[prompts].sum()))
        return self.pool.shape(prompts, fill, int(self.pool.lengths.max()))

    def _step(self, step: int, batches: list[np.ndarray]) -> None:
        if not (sailing := self.sailing):
            return
        prompts, runs = _together(batches, sailing)
        shape = self._shape(prompts)
        self.tokens += int(self.pool.lengths[prompts].sum())
        self.positions += shape.tokens
        self.paces.run(self.pool.plan(prompts, runs, shape), shape, step)
        if due := [run for run in sailing if step + 1 in self.arms[run].plan.knots]:
            started = time.perf_counter()
            for run in due:
                self.stack.tie(run, self.arms[run].plan.link_at(step + 1))
            self.seconds["knots"] += time.perf_counter() - started

    def _train_step(self, plan: Tensor, shape: Shape, number: Tensor) -> None:
        packed = self.pool.packed(plan, shape)
        with packed_batch(packed):
            each = cross_entropy(scores(self.model, packed), packed.labels, reduction="none")
            zeros = each.new_zeros(len(self.courses))
            counts = zeros.index_add(0, packed.runs, torch.ones_like(each))
            means = zeros.index_add(0, packed.runs, each) / counts.clamp(min=1)
            self.losses.index_copy_(0, number, means.detach().unsqueeze(0))
            self.stack.backward(means.sum())
        self.adam.step(self.stack, number)

    def _log(self, steps: range, batches: list[list[np.ndarray]]) -> None:
        """What these steps were, of every run up to its first loss that is not finite."""
        losses = self.losses[steps.start : steps.stop].tolist()
        sailing = self.sailing
        longest = [max((int(self.pool.lengths[batch[run]].max()) for run in sailing), default=0) for batch in batches]
        for run in sailing:
            course = self.courses[run]
            for step, row, batch, spread in zip(steps, losses, batches, longest, strict=True):
                course.losses.append(row[run])
                lengths = self.pool.lengths[batch[run]]
                course.fed.add_packed(lengths, 0 if self.ragged else spread, self.arms[run].trained_at(step))
                if not math.isfinite(row[run]):
                    course.reason = f"The training loss was not finite at step {step + 1}."
                    break

    def _judge(self, step: int) -> None:
        """Dev loss and accuracy of every run; its best so far is kept."""
        started = time.perf_counter()
        for run, found in self._scores_of(self.dev).items():
            course = self.courses[run]
            loss, accuracy = judge(found, self.pool.labels[self.dev[run]])
            if not math.isfinite(loss):
                continue  # the next step says so, if there is one
            if not course.dev_losses or loss < min(course.dev_losses):
                self.stack.keep(run)
            course.dev_steps.append(step)
            course.dev_losses.append(loss)
            course.dev_accuracies.append(accuracy)
        self.seconds["dev"] += time.perf_counter() - started

    @torch.no_grad()
    def _scores_of(self, parts: Sequence[np.ndarray]) -> dict[int, Tensor]:
        """Scores of every sailing run's prompts, float32 (prompts, candidates) in their order, on the host."""
        sailing = self.sailing
        if not sailing:
            return {}
        prompts, runs = _together(parts, sailing)
        of_all = torch.empty(len(prompts), len(self.verbalizers))
        self.model.eval()
        found = []
        for chosen in _chunks(self.pool.lengths[prompts], runs):
            shape = self._shape(prompts[chosen])
            plan = torch.from_numpy(self.pool.plan(prompts[chosen], runs[chosen], shape)).to(self.device)
            packed = self.pool.packed(plan, shape)
            with packed_batch(packed):
                found.append((chosen, scores(self.model, packed)))
        self.model.train()
        for chosen, of_chosen in found:
            of_all[torch.from_numpy(chosen)] = of_chosen.cpu()
        ends = np.cumsum([len(parts[run]) for run in sailing])
        return dict(zip(sailing, of_all.tensor_split(ends[:-1].tolist()), strict=True))

    def _save(self, folder: Path, steps: int) -> None:
        """In one file, written aside: whole or absent."""
        courses = json.dumps([dataclasses.asdict(course) for course in self.courses])
        with written_aside(folder / STATE) as aside:
            numbers = {"steps": steps, "tokens": self.tokens, "positions": self.positions}
            words = {"weights": self.weights, "courses": courses} | {name: str(n) for name, n in numbers.items()}
            save_file(self.stack.state(), aside, metadata=words)

    def _load(self, folder: Path) -> int:
        """The steps that were done when the state in ``folder`` was saved; 0 if there is none on these weights, or one
        that is laid out otherwise."""
        if not (folder / STATE).exists():
            return 0
        with safe_open(folder / STATE, framework="pt", device=self.device) as file:
            metadata = file.metadata()
            if metadata.get("weights") != self.weights:
                return 0
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if _shapes(tensors) != _shapes(self.stack.state()):
            return 0
        steps, self.tokens, self.positions = (int(metadata[name]) for name in ("steps", "tokens", "positions"))
        courses = json.loads(metadata["courses"])
        self.courses = [Course(**course | {"fed": Fed(**course["fed"])}) for course in courses]
        self.stack.restore(tensors, [arm.plan.link_at(steps) for arm in self.arms])
        return steps

    def _records(self) -> list[Record]:
        """Of the model after the last epoch, and of the best one."""
        started = time.perf_counter()
        for course in self.courses:
            if not course.dev_losses and not course.reason:
                course.reason = NEVER_FINITE
        found = [self._scores_of(self.train), self._scores_of(self.test)]
        for run in self.sailing:
            course = self.courses[run]
            self.stack.recall(run, self.arms[run].plan.link_at(course.dev_steps[course.best_judgement]))
        found.append(self._scores_of(self.test))
        self.seconds["test"] = time.perf_counter() - started
        return [self._record(run, [each[run] for each in found if run in each]) for run in range(len(self.courses))]

    def _record(self, run: int, found: list[Tensor]) -> Record:
        """``found`` are the scores of the train and test examples after the last epoch, and of the test ones at the
        best epoch; none if the run ended early."""
        material, arm, course = self.materials[run], self.arms[run], self.courses[run]
        judged: dict[str, float] = {}
        if found:
            judged = material.judge_trained(*found) | {
                "dev_loss": course.dev_losses[course.best_judgement],
                "dev_accuracy": course.dev_accuracies[course.best_judgement],
                "best_step": course.dev_steps[course.best_judgement],
            }
        steps = len(course.losses)
        return material.record(
            *reversed([each.argmax(1).tolist() for each in found[1:]]),
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
                "padding_share": 1 - self.tokens / max(1, self.positions),
                "flops_train": arm.flops_of(course.fed),
                "flops_train_counted": arm.counted.flops_of(course.fed),
                "fleet": len(self.courses),
                **{f"seconds_{phase}": taken / len(self.courses) for phase, taken in self.seconds.items()},
                "peak_bytes": peak_bytes(self.device),
            },
        )


def _shapes(tensors: dict[str, Tensor]) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in tensors.items()}


def _together(parts: Sequence[np.ndarray], runs: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """These runs' parts end to end, and whose each entry is."""
    return (
        np.concatenate([parts[run] for run in runs]),
        np.concatenate([np.full(len(parts[run]), run) for run in runs]),
    )


def _chunks(lengths: np.ndarray, runs: np.ndarray) -> Iterator[np.ndarray]:
    """Places of prompts of much the same length, at most `JUDGED_TOKENS` if each were as long as the longest, in the
    order of their runs."""
    by_length = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(by_length):
        count = max(1, JUDGED_TOKENS // int(lengths[by_length[start]]))
        chosen = by_length[start : start + count]
        yield chosen[np.argsort(runs[chosen], kind="stable")]
        start += count
