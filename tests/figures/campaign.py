"""A small campaign made by hand: every arm that figures know, three tasks, two learning rates, three draws."""

import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from colarepro.results import Record

TASKS, RATES, DRAWS = ("sst2", "wic", "rte"), (1e-3, 5e-4), 3
EPOCHS, STEPS = 5, 60
ITEMS = 40


def chain(**changes: Any) -> dict[str, Any]:
    """The chain of a run's configuration."""
    return {
        "length": None,
        "knot_epochs": [],
        "ranks": [],
        "initialization": "fresh",
        "learning_rate": "continue",
    } | changes


ARMS: dict[str, tuple[str, dict[str, Any] | None]] = {
    "full": ("full", None),
    "lora": ("lora", None),
    **{f"cola, length {length}": ("cola", chain(length=length)) for length in (2, 3)},
    "cola, length 2, same A": ("cola", chain(length=2, initialization="same")),
    **{f"cola, knot 3, ranks 8-{rank}": ("cola", chain(knot_epochs=[3.0], ranks=[8, rank])) for rank in (2, 4, 6, 8)},
    "cola, knot 2": ("cola", chain(knot_epochs=[2.0])),
    "cola, knot 2, restart LR, same A": (
        "cola",
        chain(knot_epochs=[2.0], learning_rate="restart", initialization="same"),
    ),
    "lora-restart, length 2": ("lora-restart", chain(length=2)),
    "lora-rank-sum, length 2": ("lora-rank-sum", chain(length=2)),
    "lora-rank-sum, length 3": ("lora-rank-sum", chain(length=3)),
    "relora, length 2": ("relora", chain(length=2)),
    "rac-lora, length 2": ("rac-lora", chain(length=2)),
    "asym-lora": ("asym-lora", None),
    "linear-probe": ("linear-probe", None),
    "zero-shot": ("zero-shot", None),
}
"""By the name that `colarepro.results.arm` gives, the method and chain."""


def campaign() -> Iterator[Record]:
    """All its records; a run that trains nothing has one a draw."""
    for task in TASKS:
        for name in ARMS:
            for rate in RATES if trains(name) else RATES[:1]:
                for draw in range(DRAWS):
                    yield run(name, task, rate, draw)


def trains(name: str) -> bool:
    """Whether the arm has a learning rate."""
    return name not in ("linear-probe", "zero-shot")


def run(name: str, task: str, rate: float, draw: int) -> Record:
    """One record, as a run leaves it in the fields that figures read; its numbers are random and its own."""
    random = np.random.default_rng(zlib.crc32(f"{name} {task} {rate} {draw}".encode()))
    method, links = ARMS[name]
    config: dict[str, Any] = {"model": "tiny", "dtype": "bfloat16", "task": task, "method": method, "data_seed": draw}
    config |= {"test_examples": 1000} | ({"learning_rate": rate, "seed": draw} if trains(name) else {})
    config |= {"chain": links} if links else {}
    labels = np.random.default_rng(0).integers(0, 2, ITEMS)[np.random.RandomState(draw).permutation(ITEMS)]
    said = {part: np.where(random.random(ITEMS) < 0.7, labels, 1 - labels) for part in ("test", "test_last")}
    dev = random.uniform(0.4, 0.8, EPOCHS)
    best = int(dev.argmin())
    scores = {
        "dev_loss": float(dev[best]),
        "dev_accuracy": float(random.uniform(0.6, 0.9)),
        "test_accuracy": float((said["test"] == labels).mean()),
        "test_majority": 0.55,
        "test_loss": float(random.uniform(0.4, 0.8)),
    }
    predictions = {part: said[part].tolist() for part in (said if trains(name) else ("test",))}
    record = Record(
        kind="llm",
        config=config,
        scores=scores,
        predictions=predictions | {"test_labels": labels.tolist()},
        costs={"parameters_trained": 0.0, "seconds_test": 1.0},
        digests={"test": f"{task} {draw}"},
        environment={"device": "cuda:0 (NVIDIA H200)"},
    )
    return _trained(record, random, dev, best) if trains(name) else record


def _trained(record: Record, random: np.random.Generator, dev: np.ndarray, best: int) -> Record:
    links = record.config.get("chain", {})
    length = links.get("length") or len(links.get("knot_epochs", ())) + 1
    a_link, an_epoch = STEPS / length, STEPS // EPOCHS
    knots = [round(a_link * link) for link in range(1, length)]
    if links.get("knot_epochs"):
        knots = [round(epoch * an_epoch) for epoch in links["knot_epochs"]]
    if record.config["method"] == "lora-rank-sum":
        knots = []
    record.scores.update(
        best_step=float((best + 1) * an_epoch),
        test_accuracy_last=float(np.mean(np.equal(record.predictions["test_last"], record.predictions["test_labels"]))),
        test_loss_last=float(random.uniform(0.8, 1.2)),
        train_loss_last=float(random.uniform(0.1, 0.3)),
        train_accuracy_last=float(random.uniform(0.9, 1.0)),
    )
    record.curves.update(
        step=list(range(1, STEPS + 1)),
        loss=random.uniform(0, 1, STEPS).tolist(),
        knots=knots,
        dev_step=[an_epoch * epoch for epoch in range(1, EPOCHS + 1)],
        dev_loss=dev.tolist(),
    )
    record.costs.update(
        parameters_trained=1e9 if record.config["method"] == "full" else 1e6,
        flops_train=float(random.uniform(1e12, 2e12)),
        flops_train_counted=float(random.uniform(1e12, 2e12)),
        tokens=900.0,
        padding_share=0.1,
        seconds_train=2.0,
        peak_bytes=4e9,
        fleet=8,
    )
    return record
