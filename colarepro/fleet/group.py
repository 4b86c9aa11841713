"""Which runs can sail together."""

import dataclasses
from collections import defaultdict
from collections.abc import Sequence

from colarepro.chain import Schedule
from colarepro.errors import ColaError
from colarepro.methods import METHODS, Adapter
from colarepro.runs.config import RunConfig


class UnfitError(ColaError):
    """The model or the task does not let runs share a base."""


def can_sail(config: RunConfig) -> bool:
    """Whether a run's own part acts on its rows alone: LoRA by any arm, without dropout, or the whole model.

    What depends on the model or the task, such as attention with a window or verbalizers of several tokens, shows when
    a fleet is built.
    """
    chosen = METHODS.get(config.method)
    if chosen is None or chosen.prepare is None or config.accumulation > 1:
        return False
    return "adapter" not in chosen.reads or (
        config.adapter.variant in ("lora", "rslora") and config.adapter.dropout == 0
    )


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
    method = "lora" if "adapter" in METHODS[config.method].reads else "full"
    shared = dataclasses.replace(config, method=method, adapter=adapter, chain=Schedule())
    return dataclasses.replace(shared, learning_rate=1.0, seed=0, data_seed=0, demonstrations=1)
