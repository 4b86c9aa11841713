"""The experiments that any machine can run while one waits: the tiny model on the miniature tasks."""

from pathlib import Path

from colarepro.runs.config import RunConfig
from colarepro.tasks import known_tasks

LEARNING_RATES = {"full": 1e-3, "lora": 5e-3, "cola": 5e-3}


def tiny_tier(data_dir: Path, seeds: int = 2) -> list[RunConfig]:
    """Every method on every miniature task, ``seeds`` times, at one learning rate a method."""
    return [
        RunConfig(
            task=task, method=method, model="tiny", data_dir=data_dir, learning_rate=rate, seed=seed, max_length=256
        )
        for task in known_tasks()
        for method, rate in LEARNING_RATES.items()
        for seed in range(seeds)
    ]
