"""What a configuration asks of the fleet: links, ranks, scaling, and what is trained."""

import dataclasses
import functools
import math
from dataclasses import dataclass

from peft.tuners.lora.layer import LoraLayer

from colarepro.chain import Plan, Schedule
from colarepro.methods import method
from colarepro.runs.config import RunConfig
from colarepro.runs.costs import Counted, count
from colarepro.runs.estimate import on_meta


@dataclass(frozen=True)
class Arm:
    """One run's adapter, read off a model without weights that its method has prepared."""

    config: RunConfig
    schedule: Schedule
    """The chain as the method changes it; of one link where there is no chain."""
    plan: Plan
    ranks: tuple[int, ...]
    """Of every link."""
    alpha: float
    root: bool
    """Whether the scaling is alpha over the root of the rank (rsLoRA)."""
    trains_A: bool
    targets: tuple[str, ...]
    """Names of the adapted layers in the base model, in its order."""
    parameters: int
    parameters_trained: int
    """With the last link, as a run has them at its end."""
    counted: Counted

    @property
    def rows(self) -> int:
        """Rows of A that all links together need."""
        return sum(self.ranks)

    def scaling(self, link: int) -> float:
        """Factor of a link's product."""
        rank = self.ranks[link]
        return self.alpha / (math.sqrt(rank) if self.root else rank)

    def learning_rates(self) -> list[float]:
        """Of every step: the linear schedule of transformers, as the chain's own schedule changes it."""
        plan, total = self.plan, self.plan.total_steps

        def linear(step: float) -> float:
            return max(0.0, (total - step) / total)

        kind = self.schedule.learning_rate
        if kind == "restart":
            shares = [linear(plan.squeezed(step)) for step in range(total)]
        else:
            shares = [linear(step) for step in range(total)]
        if kind == "rewarm":
            shares = [share * plan.warmth(step, self.schedule.warmup) for step, share in enumerate(shares)]
        return [self.config.learning_rate * share for share in shares]


def arm_of(config: RunConfig, train_examples: int) -> Arm:
    """Raises `ColaError` where the run itself would: a layer that is not there, a knot outside the run."""
    # Neither the rate nor a seed changes what is read here, and building is slow.
    alike = dataclasses.replace(config, learning_rate=1.0, seed=0, data_seed=0)
    found = _read(alike)
    steps_per_epoch = math.ceil(train_examples / config.batch_size)
    plan = found.schedule.resolve(config.max_steps or steps_per_epoch * config.epochs, steps_per_epoch)
    return dataclasses.replace(found, config=config, plan=plan)


@functools.lru_cache(maxsize=100)
def _read(config: RunConfig) -> Arm:
    prepare = method(config.method).prepare
    assert prepare is not None
    model = on_meta(config)
    prepared = prepare(model, config.adapter, config.chain, config.seed)
    schedule = prepared.chain.schedule if prepared.chain is not None else Schedule(length=1)
    layers = {name: each for name, each in prepared.model.named_modules() if isinstance(each, LoraLayer)}
    first = next(iter(layers.values()))
    rank = first.r["default"]
    links = 1 if schedule.fold == "none" else schedule.links
    ranks = schedule.ranks[:links] or (rank,) * links
    trained = sum(p.numel() for p in prepared.model.parameters() if p.requires_grad)
    later = trained * ranks[-1] // ranks[0]
    return Arm(
        config=config,
        schedule=schedule,
        plan=Plan(1, ()),
        ranks=ranks,
        alpha=first.lora_alpha["default"],
        root=first.use_rslora["default"],
        trains_A=first.lora_A["default"].weight.requires_grad,
        targets=tuple(name.removeprefix("base_model.model.") for name in layers),
        parameters=sum(parameter.numel() for parameter in prepared.model.parameters()) - trained + later,
        parameters_trained=later,
        counted=count(prepared.model),
    )
