"""Records of a small campaign made by hand: what each arm gets right is planted."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pytest

from colarepro.ledger import Evidence, Reported
from colarepro.results import Record

ROOT = Path(__file__).parents[2]
ARMS: dict[str, dict[str, Any]] = {
    "lora": {"method": "lora"},
    "cola, length 2": {"method": "cola", "chain": {"length": 2}},
    "cola, length 3": {"method": "cola", "chain": {"length": 3}},
    "lora-restart, length 2": {"method": "lora-restart", "chain": {"length": 2}},
    "zero-shot": {"method": "zero-shot"},
} | {
    f"cola, knot 3, ranks 8-{rank}": {"method": "cola", "chain": {"knot_epochs": [3], "ranks": [8, rank]}}
    for rank in (2, 4, 6, 8)
}


def made(
    arm: str, accuracy: float, task: str = "rte", draws: int = 5, items: int = 400, flops: float = 1e6, **changes: Any
) -> list[Record]:
    """Draws of an arm with this mean accuracy, one point up and down; items are as hard for every arm."""
    hard = np.random.default_rng(len(task)).permutation(items) / items
    noise = 0.01 * np.roll(np.linspace(-1, 1, draws), crc32(arm.encode()))
    labels = np.arange(items) % 3 // 2  # two thirds are 0
    records = []
    for draw in range(draws):
        order = np.random.RandomState(draw).permutation(items)
        right = hard < accuracy + noise[draw]
        said = np.where(right, labels, 1 - labels)
        trains = {} if arm == "zero-shot" else {"learning_rate": 1e-3, "seed": draw}
        config = {"model": "smollm2-135m", "dtype": "bfloat16", "protocol": "paper", "task": task, "data_seed": draw}
        records.append(
            Record(
                "llm",
                config | {"test_examples": 1000} | trains | ARMS[arm] | changes,
                scores={"dev_loss": 0.5, "test_accuracy": float(right.mean()), "test_majority": 2 / 3},
                predictions={"test": said[order].tolist(), "test_labels": labels[order].tolist()},
                costs={"flops_train": flops, "tokens": 900.0, "padding_share": 0.1, "seconds_train": 2.0, "fleet": 5.0}
                | {"parameters_trained": 100.0, "peak_bytes": 1e9, "seconds_prepare": 0.5, "seconds_dev": 0.3},
                digests={"test": f"{task} {draw}"},
                environment={"device": "cuda:0 (GPU)"},
            )
        )
    return records


def evidence_of(accuracies: Mapping[str, Mapping[str, float]], **changes: Any) -> Evidence:
    """Of accuracies by task and arm."""
    return Evidence(
        record
        for task, by_arm in accuracies.items()
        for arm, accuracy in by_arm.items()
        for record in made(arm, accuracy, task, **changes)
    )


@pytest.fixture(scope="session")
def reported() -> Reported:
    return Reported.read(ROOT / "data" / "reported.csv")
