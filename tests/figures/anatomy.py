"""Watched runs made by hand: two tasks, three arms, two draws, and for one arm a second learning rate."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from colarepro.results import Record
from tests.figures.campaign import chain

TARGETS = 4
ARMS: dict[str, tuple[str, dict[str, Any] | None]] = {
    "lora": ("lora", None),
    "cola, length 2": ("cola", chain(length=2)),
    "cola, length 2, same A": ("cola", chain(length=2, initialization="same")),
}
LOOKS = {
    "lora": [(0, "start"), (10, "epoch"), (20, "epoch")],
    "cola": [(0, "start"), (8, "before knot"), (8, "after knot"), (10, "epoch"), (20, "epoch")],
}


def watched_runs() -> Iterator[Record]:
    """All of them."""
    for task in ("wic", "rte"):
        for name in ARMS:
            for rate in (1e-3, 5e-4) if name == "lora" else (1e-3,):
                for draw in range(2):
                    yield watched(name, task, rate, draw)


def watched(name: str, task: str = "rte", rate: float = 1e-3, draw: int = 0, **changes: Any) -> Record:
    """As a watched run leaves it. The smaller learning rate has the smaller dev loss; deltas grow with the draw."""
    method, links = ARMS[name]
    looks = LOOKS[method]
    count = len(looks)
    grown = np.linspace(0, 1, count) * (1 + draw)
    per_target = np.outer(grown, np.arange(1, TARGETS + 1))
    angles = [list(range(10, 90, 10)) if method == "cola" and step > 8 else [] for step, _ in looks]
    along = {
        quantity: (grown + place).tolist()
        for place, quantity in enumerate(
            ("loss", "perplexity", "rank", "stable_rank", "effective_rank", "intruders", "gradient_norm", "delta_norm")
        )
    }
    unseen = {
        quantity: [None if when in ("start", "after knot") else 0.9 for _, when in looks]
        for quantity in ("share", "epsilon", "cosine_top", "cosine_gradient")
    }
    return Record(
        kind="anatomy",
        config={
            "model": "tiny",
            "dtype": "float32",
            "protocol": "paper",
            "task": task,
            "method": method,
            "learning_rate": rate,
            "seed": draw,
            "data_seed": draw,
            "sample": 8,
        }
        | ({} if links is None else {"chain": links})
        | changes,
        scores={"dev_loss": 100 * rate},
        curves={
            "step": [step for step, _ in looks],
            "when": [when for _, when in looks],
            "inner": (-per_target).tolist(),
            "largest": np.ones((count, TARGETS)).tolist(),
            "nuclear": per_target.tolist(),
            "spectrum": [[2.0 * size, 1.0 * size] for size in grown],
            **{f"angles_{side}": angles for side in ("columns", "rows", "columns_chance", "rows_chance")},
            **along,
            **unseen,
        },
    )
