"""Who is measured, and the row that comes of it."""

import gc
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from colarepro.bench import ours, plain
from colarepro.bench.setting import Setting
from colarepro.bench.shapes import SHAPES
from colarepro.runs.costs import peak_bytes, product_weights, reset_peak


@dataclass(frozen=True)
class Contender:
    """``measure`` gives the seconds of a step and of a knot, NaN where there is none."""

    name: str
    measure: Callable[[Setting], tuple[float, float]]
    runs: int = 1
    links: int = 1


def contenders(letters: Sequence[str], fleets: Sequence[int], chains: Sequence[int]) -> list[Contender]:
    """Those of (a) to (d) that ``letters`` names, our own for every length of a chain and size of a fleet."""
    found = [
        Contender("(a) PEFT + Trainer", lambda setting: (plain.in_trainer(setting), math.nan)),
        Contender("(b) PEFT, label rows", lambda setting: (plain.in_loop(setting), math.nan)),
    ]
    for links in chains:
        found.append(Contender(f"(c) one run, {_arm(links)}", partial(ours.run, links=links), links=links))
    for size, links in itertools.product(fleets, chains):
        name = f"(d) fleet of {size}, {_arm(links)}"
        found.append(Contender(name, partial(ours.fleet, links=links, size=size), size, links))
    return [contender for contender in found if contender.name[1] in letters]


def rows(setting: Setting, measured: Sequence[Contender], ceiling: float) -> Iterator[dict[str, Any]]:
    """A row a contender, in turn; what memory does not hold is left out. ``ceiling`` is in FLOPs a second."""
    with torch.device("meta"):
        products = sum(
            weight.numel() for weight in product_weights(AutoModelForCausalLM.from_config(SHAPES[setting.shape]))
        )
    first = math.nan
    for contender in measured:
        reset_peak(setting.device)
        try:
            seconds, knot = contender.measure(setting)
        except torch.cuda.OutOfMemoryError:
            continue
        finally:
            gc.collect()
            torch.cuda.empty_cache()
        rate = contender.runs * setting.batch / seconds
        first = rate if contender.name.startswith("(a)") else first
        work = 4 * products * rate * setting.length
        yield {
            "shape": setting.shape,
            "length": setting.length,
            "contender": contender.name,
            "runs": contender.runs,
            "links": contender.links,
            "ms_a_step": 1000 * seconds,
            "ms_a_knot": 1000 * knot,
            "examples_a_second": rate,
            "tokens_a_second": rate * setting.length,
            "teraflops": work / 1e12,
            "share_of_ceiling": work / ceiling,
            "peak_gib": peak_bytes(setting.device) / 2**30,
            "times_a": rate / first,
        }


def _arm(links: int) -> str:
    return "LoRA" if links == 1 else f"COLA {links}"
