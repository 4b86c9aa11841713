"""Our run and our fleet."""

import dataclasses
import time
from typing import Any

from colarepro.bench.clock import Clock, wait
from colarepro.bench.setting import Setting
from colarepro.fleet.fleet import Fleet
from colarepro.runs import finetune, perform


def run(setting: Setting, links: int) -> tuple[float, float]:
    """Seconds of a step and of a knot; on a GPU a run is a fleet of one."""
    if setting.device != "cpu":
        return fleet(setting, links, 1)
    clock = Clock(setting)
    original = finetune.StopOnDivergence.on_log

    def on_log(self: Any, args: Any, state: Any, control: Any, logs: dict[str, float], **rest: Any) -> None:
        original(self, args, state, control, logs, **rest)
        if "loss" in logs:
            clock.tick()

    finetune.StopOnDivergence.on_log = on_log  # type: ignore[method-assign]
    try:
        record = perform(setting.config(links), setting.device)
    finally:
        finetune.StopOnDivergence.on_log = original  # type: ignore[method-assign]
    return clock.seconds, record.costs["seconds_knots"] / max(1, links - 1)


def fleet(setting: Setting, links: int, size: int) -> tuple[float, float]:
    """The same of ``size`` runs at once; the knot is all runs'."""
    clock = Clock(setting)

    class Ticking(Fleet):
        def _step(self, *arguments: Any) -> None:
            super()._step(*arguments)
            clock.tick()

    config = setting.config(links)
    ticking = Ticking([dataclasses.replace(config, seed=seed) for seed in range(size)], setting.device)
    ticking.sail()
    started = time.perf_counter()
    for number in range(size if links > 1 else 0):
        ticking.stack.tie(number, links - 1)
    wait(setting.device)
    return clock.seconds, time.perf_counter() - started
