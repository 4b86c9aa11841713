"""The chain: train a link, tie a knot, start the next link (arXiv 2401.04151, Algorithm 1)."""

import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor, distributed
from torch.optim.lr_scheduler import LambdaLR

from colarepro.chain.choose import links_of
from colarepro.chain.factored import FactoredLinks
from colarepro.chain.moments import prune_moments
from colarepro.chain.schedule import Schedule
from colarepro.chain.target import Target
from colarepro.errors import ColaError
from colarepro.files import written_aside

FILE = "chain.safetensors"
"""Name of a chain's state in a checkpoint folder."""
SCALING = ("r", "lora_alpha", "alpha", "use_rslora", "lora_bias", "rank_pattern", "alpha_pattern")
"""Settings of PEFT's without which a link's tensors are another update, or have no place."""


class Chain:
    """A chain of links over one PEFT model, in a plain training loop::

        chain = Chain(model, Schedule(length=3), total_steps=total, optimizer=optimizer)
        for batch in batches:
            loss(model, batch).backward()
            optimizer.step()
            chain.step()
            optimizer.zero_grad()

    At a knot the link is merged (or stacked), the same Parameters start anew, and the optimizer forgets exactly
    them, Adam's step count included. ``seed`` and the link's index alone decide the draw of a new A, so it neither
    depends on nor moves the random numbers of anything else, and is the same on every rank. Over a base that FSDP2
    shards, every rank merges its own part, and no weight is gathered; all ranks must tie.

    LoRA's links (also rsLoRA's) are folded in place as products of two factors, exact over any base. Those of every
    other method that PEFT can merge (DoRA, PiSSA, LoHa, OFT, ...) PEFT merges itself, over float32 weights, and builds
    anew on what they leave; constructing the chain tries such a knot and takes it back.

    Raises `ColaError` where a knot could not be exact or is impossible: a base that is quantised, or sharded other
    than FSDP2 does it (merge), tied targets, no targets, a method that cannot merge or does not start from the base, an
    optimizer that does not hold the link.
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
        self.identity = uuid.uuid4().hex
        """Of this training; whoever takes its state up has it, too."""
        self.plan = schedule.resolve(total_steps, steps_per_epoch)
        self.links = links_of(model, adapter, schedule)
        self._check_optimizer()
        if schedule.ranks and self.links.rank != schedule.ranks[0]:
            raise ColaError(f"The adapter has rank {self.links.rank}, but the first link wants {schedule.ranks[0]}.")
        self.links.check_future()
        if schedule.learning_rate != "continue" and scheduler is not None:
            self._follow_knots(scheduler)

    @property
    def config(self) -> Any:
        """PEFT's configuration of the adapter."""
        return self.links.config

    @property
    def targets(self) -> list[Target]:
        """The adapted layers, if links are products of two factors; else empty."""
        return self.links.targets if isinstance(self.links, FactoredLinks) else []

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
        if not self.model.training:
            raise ColaError("A knot was asked for outside training: the model is in evaluation mode.")
        self.links.check_active()
        self.links.check_finite(self.link)
        self._check_moments()
        if self.schedule.fold != "none":
            self.links.advance(self.link + 1, self.seed)
        self.link += 1
        self._reset_optimizer_state()

    def delta(self, name: str) -> Tensor:
        """The total update of a target so far, current link included: (out, in), at least float32, on the host.

        Raises `ColaError` for an unknown target, and if links are no products of two factors.
        """
        return self.links.delta(name)

    def save(self, folder: Path | str) -> Path:
        """Write the whole state of the chain, current link included, to ``folder``/chain.safetensors, and with it what
        is trained beside the adapter (a head, biases).

        If any of these parameters are sharded, every rank must call it, and rank 0 writes. The file is the same
        however many ranks there are, and any number of them can take it up.
        """
        tensors = {name: part.detach().cpu().contiguous() for name, part in self.links.state().items()}
        state = {
            "steps_done": self.steps_done,
            "link": self.link,
            "seed": self.seed,
            "initialization": self.schedule.initialization,
            "plan": [self.plan.total_steps, self.plan.knots, self.plan.ranks],
            "kind": self.links.kind,
            "adapter": self._adapter(),
            "identity": self.identity,
            "fingerprints": self.links.fingerprints,
        }
        path = Path(folder) / FILE
        if self.links.sharded and distributed.get_rank() > 0:
            return path
        with written_aside(path) as aside:
            safetensors.torch.save_file(tensors, aside, metadata={"chain": json.dumps(state)})
        return path

    def load(self, folder: Path | str) -> None:
        """Take up the state that `save` wrote: weights, current link and its rank, position in the plan.

        The model must be on the weights that the chain began with. Raises `ColaError` if the file is missing or
        torn, if the plan or the weights differ from what it was made on, or if targets, the adapter's settings or what
        is trained beside it do.
        """
        path = Path(folder) / FILE
        state, tensors = read_state(path)
        self._check_state(path, state)
        self.links.restore(tensors, state["link"], state["seed"])
        self.link, self.seed, self.steps_done = state["link"], state["seed"], state["steps_done"]
        self.identity = state.get("identity", self.identity)

    def _reset_optimizer_state(self) -> None:
        """Drop the state of the link's parameters. Zeroed moments with the old step count would not be a reset:
        Adam's bias correction is then off and the next updates are up to 6.6 times the learning rate."""
        if self.optimizer is None:
            return
        for parameter in {id(one): one for group in self.links.parameters.values() for one in group}.values():
            if self.schedule.reset == "drop":
                self.optimizer.state.pop(parameter, None)
            elif parameter in self.optimizer.state:
                prune_moments(self.optimizer.state[parameter], self.schedule.prune)

    def _check_moments(self) -> None:
        if self.schedule.reset != "prune" or self.optimizer is None:
            return
        kept = [self.optimizer.state.get(one) for group in self.links.parameters.values() for one in group]
        if any(moments and not {"exp_avg", "exp_avg_sq"} <= moments.keys() for moments in kept):
            optimizer = getattr(self.optimizer, "optimizer", self.optimizer)  # accelerate wraps it
            raise ColaError(
                f"reset='prune' prunes Adam's two moments, but {type(optimizer).__name__} keeps others; expected "
                "torch's Adam or AdamW, or reset='drop'."
            )

    def _adapter(self) -> dict[str, Any]:
        """What scales and shapes the links, but for ranks that the schedule gives."""
        names = [name for name in SCALING if hasattr(self.config, name) and not (name == "r" and self.schedule.ranks)]
        settings: dict[str, Any] = json.loads(json.dumps({name: getattr(self.config, name) for name in names}))
        return settings

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

    def _check_optimizer(self) -> None:
        if self.optimizer is None:
            return
        held = {id(parameter) for group in self.optimizer.param_groups for parameter in group["params"]}
        for name, parameters in self.links.parameters.items():
            if any(id(parameter) not in held for parameter in parameters if parameter.requires_grad):
                raise ColaError(
                    f"The optimizer does not hold the adapter of {name}; build it from this model's parameters."
                )

    def _check_state(self, path: Path, state: dict[str, Any]) -> None:
        plan = [self.plan.total_steps, list(self.plan.knots), list(self.plan.ranks)]
        if state["plan"] != plan or state["initialization"] != self.schedule.initialization:
            raise ColaError(
                f"{path} was made for steps, knots and ranks {state['plan']} with initialization "
                f"'{state['initialization']}', but this chain has {plan} and '{self.schedule.initialization}'."
            )
        fingerprints = self.links.fingerprints
        if state["kind"] != self.links.kind or set(state["fingerprints"]) != set(fingerprints):
            raise ColaError(f"{path} was made for another adapter or other target modules than this model has.")
        made = state.get("adapter", {})
        for name, value in self._adapter().items():
            if made.get(name, value) != value:
                raise ColaError(f"{path} was made with {name} {made[name]}, but this model's adapter has {value}.")
        for name, fingerprint in fingerprints.items():
            if state["fingerprints"][name] != fingerprint:
                raise ColaError(
                    f"{path} was made on other base weights than {name} has; expected the model that the chain "
                    "began with, not a merged one."
                )


def read_state(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What `Chain.save` wrote; raises `ColaError` if the file is missing or torn."""
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            state = json.loads(file.metadata()["chain"])
            return state, {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
    except (OSError, safetensors.SafetensorError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise ColaError(f"{path} is not a whole chain state; resume from an earlier checkpoint.") from error
