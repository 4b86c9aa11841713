"""Which runs can sail together."""

import dataclasses
from collections import defaultdict
from collections.abc import Sequence

from colarepro.chain import Schedule
from colarepro.methods import METHODS, Adapter
from colarepro.runs.config import RunConfig


def can_sail(config: RunConfig) -> bool:
    """Whether a run's own part is an adapter that acts on its rows alone: LoRA by any arm, without dropout.

    What depends on the model or the task, such as attention with a window or verbalizers of several tokens, shows when
    a fleet is built.
    """
    chosen = METHODS.get(config.method)
    plain = config.adapter.variant in ("lora", "rslora") and config.adapter.dropout == 0
    return chosen is not None and chosen.prepare is not None and "adapter" in chosen.reads and plain


def grouped(configs: Sequence[RunConfig]) -> tuple[list[list[RunConfig]], list[RunConfig]]:
    """Runs that can sail together, and the runs that sail alone."""
    fleets: dict[RunConfig, list[RunConfig]] = defaultdict(list)
    alone = []
    for config in configs:
        if can_sail(config):
            fleets[_common(config)].append(config)
        else:
            alone.append(config)
    return list(fleets.values()), alone


def _common(config: RunConfig) -> RunConfig:
    """What the runs of a fleet share; the rest is set to one value."""
    adapter = Adapter(targets=config.adapter.targets)
    shared = dataclasses.replace(config, method="lora", adapter=adapter, chain=Schedule())
    return dataclasses.replace(shared, learning_rate=1.0, seed=0, data_seed=0, demonstrations=1)
