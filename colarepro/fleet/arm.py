"""What a configuration asks of the fleet: what is trained when, at which rate and scale."""

import dataclasses
import functools
import math
from dataclasses import dataclass
from typing import Any

from peft.tuners.lora.layer import LoraLayer

from colarepro.chain import Plan, Schedule
from colarepro.chain.target import targets_of
from colarepro.methods import method
from colarepro.runs.config import RunConfig
from colarepro.runs.costs import Counted, Fed, count_once, flops_by_formula, product_weights, trained_in_products
from colarepro.runs.estimate import on_meta


@dataclass(frozen=True)
class Arm:
    """What one run trains, read off a model without weights that its method has prepared."""

    config: RunConfig
    schedule: Schedule
    """The chain as the method changes it; of one link where there is no chain."""
    plan: Plan
    model: Any
    """That model."""
    ranks: tuple[int, ...]
    """Of every link; none where the whole model is trained."""
    targets: tuple[str, ...]
    """Names of the adapted layers in the base model, in its order."""
    parameters_frozen: int
    parameters_first: int
    """Trained with the first link."""
    products_first: int
    """Of these, weights of products."""
    counted: Counted

    @property
    def rows(self) -> int:
        """Rows of A that all links together need."""
        return sum(self.ranks)

    @property
    def row_of_numbers(self) -> int:
        """Numbers in a row of A and of B, of all adapted layers, whether they are trained or not."""
        layers = [each for each in self.model.modules() if isinstance(each, LoraLayer)]
        return sum(each.in_features + each.out_features for each in layers)

    def scaling(self, link: int) -> float:
        """Factor of a link's product."""
        layer, rank = self._layer, self.ranks[link]
        return layer.lora_alpha["default"] / (math.sqrt(rank) if layer.use_rslora["default"] else rank)

    @property
    def trains_A(self) -> bool:
        return bool(self._layer.lora_A["default"].weight.requires_grad)

    @property
    def parameters_trained(self) -> int:
        """With the last link, as a run has them at its end."""
        return self._of_link(self.parameters_first, -1)

    @property
    def parameters(self) -> int:
        """Of the whole model, with the last link."""
        return self.parameters_frozen + self.parameters_trained

    def trained_at(self, step: int) -> int:
        """How many weights of products the step after ``step`` trains."""
        return self._of_link(self.products_first, self.plan.link_at(step))

    def flops_of(self, fed: Fed) -> float:
        """By formula, of everything that training fed."""
        return flops_by_formula(self.model, fed)

    def _of_link(self, trained: int, link: int) -> int:
        """What the first link's number is for another one."""
        return trained * self.ranks[link if len(self.ranks) > 1 else 0] // self.ranks[0] if self.ranks else trained

    @property
    def _layer(self) -> LoraLayer:
        return next(each for each in self.model.modules() if isinstance(each, LoraLayer))

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
    found = _read(
        RunConfig("", config.method, config.model, dtype=config.dtype, adapter=config.adapter, chain=config.chain)
    )
    steps_per_epoch = math.ceil(train_examples / config.batch_size)
    plan = found.schedule.resolve(config.max_steps or steps_per_epoch * config.epochs, steps_per_epoch)
    return dataclasses.replace(found, config=config, plan=plan)


@functools.lru_cache(maxsize=100)
def _read(config: RunConfig) -> Arm:
    """Once for all runs that differ in what is not read here, since building is slow."""
    prepare = method(config.method).prepare
    assert prepare is not None
    model = on_meta(config)
    prepared = prepare(model, config.adapter, config.chain, config.seed)
    schedule = prepared.chain.schedule if prepared.chain is not None else Schedule(length=1)
    layers = {name: each for name, each in prepared.model.named_modules() if isinstance(each, LoraLayer)}
    for target in targets_of(prepared.model, "default") if layers else ():
        for rank in schedule.ranks:
            target.check_rank(rank)
    ranks: tuple[int, ...] = ()
    if layers:
        links = 1 if schedule.fold == "none" else schedule.links
        ranks = schedule.ranks[:links] or (next(iter(layers.values())).r["default"],) * links
    return Arm(
        config=config,
        schedule=schedule,
        plan=Plan(1, ()),
        model=prepared.model,
        ranks=ranks,
        targets=tuple(name.removeprefix("base_model.model.") for name in layers),
        parameters_frozen=sum(p.numel() for p in prepared.model.parameters() if not p.requires_grad),
        parameters_first=sum(p.numel() for p in prepared.model.parameters() if p.requires_grad),
        products_first=trained_in_products(product_weights(prepared.model)),
        counted=count_once(config.model, prepared.model),
    )
