"""The chain: train a link, tie a knot, start the next link (arXiv 2401.04151, Algorithm 1)."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from peft import LoraConfig
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR

from colarepro.chain.moments import prune_moments
from colarepro.chain.schedule import Schedule
from colarepro.chain.target import Factors, targets_of
from colarepro.errors import ColaError
from colarepro.files import written_aside

FILE = "chain.safetensors"
"""Name of a chain's state in a checkpoint folder."""


class Chain:
    """A chain of LoRA links over one PEFT model, in a plain training loop::

        chain = Chain(model, Schedule(length=3), total_steps=total, optimizer=optimizer)
        for batch in batches:
            loss(model, batch).backward()
            optimizer.step()
            chain.step()
            optimizer.zero_grad()

    At a knot the link is merged (or stacked), the same Parameters start anew, and the optimizer forgets exactly
    them, Adam's step count included. ``seed`` and the link's index alone decide the draw of a new A, so it neither
    depends on nor moves the random numbers of anything else, and is the same on every rank.

    Raises `ColaError` where a knot could not be exact: a quantised or sharded base (merge), tied targets, no
    targets, a variant whose update is not a product of two factors, an optimizer that does not hold the link.
    """

    def __init__(
        self,
        model: Any,
        schedule: Schedule,
        *,
        total_steps: int,
        steps_per_epoch: int | None = None,
        optimizer: Any | None = None,
        scheduler: Any | None = None,
        adapter: str = "default",
        seed: int = 0,
    ) -> None:
        self.model = model
        self.schedule = schedule
        self.adapter = adapter
        self.seed = seed
        self.optimizer = optimizer
        self.steps_done = 0
        self.link = 0
        """Index of the current link, from 0."""
        self.plan = schedule.resolve(total_steps, steps_per_epoch)
        self.targets = targets_of(model, adapter, schedule.fold)
        self._check_configuration()
        self._check_optimizer()
        if schedule.ranks and self.targets[0].rank != schedule.ranks[0]:
            raise ColaError(
                f"The adapter has rank {self.targets[0].rank}, but the first link wants {schedule.ranks[0]}."
            )
        for target in self.targets:  # what a later link cannot hold is known now
            for rank in schedule.ranks:
                target.check_rank(rank)
        self._first_A: dict[str, Tensor] = {}
        if schedule.initialization == "same":
            if schedule.ranks and max(schedule.ranks) > schedule.ranks[0]:
                raise ColaError(f"Ranks {schedule.ranks} grow, but initialization='same' has only the first link's A.")
            self._first_A = {target.name: target.link().A for target in self.targets}
        if schedule.learning_rate != "continue" and scheduler is not None:
            self._follow_knots(scheduler)

    @property
    def config(self) -> LoraConfig:
        """PEFT's configuration of the adapter."""
        return self.model.peft_config[self.adapter]

    def step(self) -> bool:
        """Count one optimizer step; tie a knot if it is due, and say so."""
        self.steps_done += 1
        due = self.steps_done in self.plan.knots
        if due:
            self.tie()
        return due

    def tie(self) -> None:
        """Tie a knot now: fold the current link into the past and start the next.

        Raises `ColaError` outside training, after the last link, or if the link holds a NaN or Inf; the model, the
        optimizer and the chain are then as before.
        """
        if self.link + 1 >= self.schedule.links:
            raise ColaError(f"A knot was asked for, but the chain of {self.schedule.links} links is on its last one.")
        self._check_training()
        links = {target.name: target.link() for target in self.targets}
        for name, link in links.items():
            if not link.is_finite():
                raise ColaError(f"Link {self.link} of {name} holds a NaN or an infinity; the knot was not tied.")
        if self.schedule.fold == "none":
            self.link += 1
        else:
            self._fold([target.total() for target in self.targets])
            self._start(self.link + 1)
        self._reset_optimizer_state()

    def delta(self, name: str) -> Tensor:
        """The total update of a target so far, current link included: (out, in), at least float32, on the host."""
        for target in self.targets:
            if target.name == name or target.name.endswith(f".{name}"):
                return target.total().product()
        raise ColaError(
            f"The chain has no target '{name}'; it has {', '.join(target.name for target in self.targets)}."
        )

    def save(self, folder: Path | str) -> Path:
        """Write the whole state of the chain, current link included, to ``folder``/chain.safetensors."""
        tensors: dict[str, Tensor] = {}
        for target in self.targets:
            link = target.layer.lora_A[self.adapter].weight, target.layer.lora_B[self.adapter].weight
            parts = {"link.A": link[0], "link.B": link[1], "link.bias": target.layer.lora_B[self.adapter].bias}
            if target.past is not None:
                parts |= {"past.A": target.past.A, "past.B": target.past.B, "past.bias": target.past.bias}
            if target.name in self._first_A:
                parts["first.A"] = self._first_A[target.name]
            tensors |= {
                f"{target.name}|{key}": part.detach().cpu().contiguous()
                for key, part in parts.items()
                if part is not None
            }
        state = {
            "steps_done": self.steps_done,
            "link": self.link,
            "seed": self.seed,
            "initialization": self.schedule.initialization,
            "plan": [self.plan.total_steps, self.plan.knots, self.plan.ranks],
            "fingerprints": {target.name: target.fingerprint for target in self.targets},
        }
        path = Path(folder) / FILE
        with written_aside(path) as aside:
            safetensors.torch.save_file(tensors, aside, metadata={"chain": json.dumps(state)})
        return path

    def load(self, folder: Path | str) -> None:
        """Take up the state that `save` wrote: weights, current link and its rank, position in the plan.

        The model must be on the weights that the chain began with. Raises `ColaError` if the file is missing or
        torn, if the plan or the weights differ from what it was made on, or if targets do.
        """
        path = Path(folder) / FILE
        try:
            with safetensors.safe_open(path, framework="pt") as file:
                state = json.loads(file.metadata()["chain"])
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
        except (OSError, safetensors.SafetensorError, KeyError, TypeError, json.JSONDecodeError) as error:
            raise ColaError(f"{path} is not a whole chain state; resume from an earlier checkpoint.") from error
        self._check_state(path, state)
        pasts: list[Factors | None] = []
        for target in self.targets:
            past = [tensors.get(f"{target.name}|past.{part}") for part in ("A", "B", "bias")]
            pasts.append(None if past[0] is None or past[1] is None else Factors(past[0], past[1], past[2]))
        self._fold(pasts)
        self.link, self.seed, self.steps_done = state["link"], state["seed"], state["steps_done"]
        with torch.no_grad():
            for target in self.targets:
                target.resize(tensors[f"{target.name}|link.A"].shape[0])
                lora_A, lora_B = target.layer.lora_A[self.adapter], target.layer.lora_B[self.adapter]
                lora_A.weight.copy_(tensors[f"{target.name}|link.A"])
                lora_B.weight.copy_(tensors[f"{target.name}|link.B"])
                if lora_B.bias is not None:
                    lora_B.bias.copy_(tensors[f"{target.name}|link.bias"])
                if target.name in self._first_A:
                    self._first_A[target.name] = tensors[f"{target.name}|first.A"]
        if self.schedule.ranks:
            self.config.r = self.schedule.ranks[self.link]

    def _fold(self, pasts: list[Factors | None] | list[Factors]) -> None:
        """Give every target its past, or, if one refuses, leave all as they were."""
        before = [target.past for target in self.targets]
        changed = 0
        try:
            for target, past in zip(self.targets, pasts, strict=True):
                changed += 1
                target.fold(past)
        except BaseException:
            for target, past in zip(self.targets[:changed], before, strict=False):
                target.fold(past)
            raise

    def _start(self, link: int) -> None:
        config = self.config
        if self.schedule.ranks:
            config.r = self.schedule.ranks[link]
        with _seeded(self.seed, link):
            for target in self.targets:
                if self.schedule.ranks:
                    target.resize(self.schedule.ranks[link])
                target.restart(config, self._first_A.get(target.name))
        self.link = link

    def _reset_optimizer_state(self) -> None:
        """Drop the state of the link's parameters. Zeroed moments with the old step count would not be a reset:
        Adam's bias correction is then off and the next updates are up to 6.6 times the learning rate."""
        if self.optimizer is None:
            return
        for target in self.targets:
            for parameter in target.parameters:
                if self.schedule.reset == "drop":
                    self.optimizer.state.pop(parameter, None)
                elif parameter in self.optimizer.state:
                    prune_moments(self.optimizer.state[parameter], self.schedule.prune)

    def _follow_knots(self, scheduler: Any) -> None:
        scheduler = getattr(scheduler, "scheduler", scheduler)  # accelerate wraps it
        if not isinstance(scheduler, LambdaLR):
            raise ColaError(
                f"learning_rate='{self.schedule.learning_rate}' needs a LambdaLR, as transformers.get_scheduler makes "
                f"one, not a {type(scheduler).__name__}."
            )
        scheduler.lr_lambdas = [self._by_link(schedule) for schedule in scheduler.lr_lambdas]

    def _by_link(self, schedule: Callable[[Any], float]) -> Callable[[int], float]:
        if self.schedule.learning_rate == "restart":
            return lambda step: schedule(self.plan.squeezed(step))
        return lambda step: schedule(step) * self.plan.warmth(step, self.schedule.warmup)

    def _check_configuration(self) -> None:
        if self.config.init_lora_weights not in (True, "gaussian"):
            raise ColaError(
                f"init_lora_weights is {self.config.init_lora_weights!r}; a link must start from zero without touching "
                "the base, so expected True or 'gaussian'."
            )
        if self.schedule.ranks and (self.config.rank_pattern or self.config.alpha_pattern):
            raise ColaError("The schedule gives a rank to every link, so expected a LoraConfig without rank_pattern.")

    def _check_optimizer(self) -> None:
        if self.optimizer is None:
            return
        held = {id(parameter) for group in self.optimizer.param_groups for parameter in group["params"]}
        for target in self.targets:
            if any(id(parameter) not in held for parameter in target.parameters if parameter.requires_grad):
                raise ColaError(
                    f"The optimizer does not hold the adapter of {target.name}; build it from this model's parameters."
                )

    def _check_training(self) -> None:
        if not self.model.training:
            raise ColaError("A knot was asked for outside training: the model is in evaluation mode.")
        for target in self.targets:
            if target.layer.merged or target.layer.disable_adapters:
                raise ColaError(f"The adapter of {target.name} is merged or disabled; undo that before a knot is tied.")

    def _check_state(self, path: Path, state: dict[str, Any]) -> None:
        plan = [self.plan.total_steps, list(self.plan.knots), list(self.plan.ranks)]
        if state["plan"] != plan or state["initialization"] != self.schedule.initialization:
            raise ColaError(
                f"{path} was made for steps, knots and ranks {state['plan']} with initialization "
                f"'{state['initialization']}', but this chain has {plan} and '{self.schedule.initialization}'."
            )
        if set(state["fingerprints"]) != {target.name for target in self.targets}:
            raise ColaError(f"{path} was made for other target modules than this model's adapter has.")
        for target in self.targets:
            if state["fingerprints"][target.name] != target.fingerprint:
                raise ColaError(
                    f"{path} was made on other base weights than {target.name} has; expected the model that the chain "
                    "began with, not a merged one."
                )


@contextmanager
def _seeded(seed: int, link: int) -> Iterator[None]:
    """Random numbers that depend on the seed and the link only; everybody else's stay as they were."""
    with torch.random.fork_rng():
        torch.manual_seed(int(np.random.SeedSequence([seed, link]).generate_state(1, np.uint64)[0]))
        yield
