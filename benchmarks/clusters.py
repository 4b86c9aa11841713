"""How much wider MultiRC's intervals would be if answers to one question, or to one passage, counted as one item.

    python benchmarks/clusters.py --data-dir FOLDER

Records do not say which answers belong together; the official ``MultiRC/val.jsonl`` in FOLDER does. Printed are
standard errors in multiples of those in the ledger.
"""

import json
import math
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import tyro

from colarepro.errors import ColaError, exit_cleanly
from colarepro.results import Record, Store, compare, runs_table, selected
from colarepro.results.items import items

PAIRS = (
    ("cola, length 2", "lora"),
    ("cola, length 3", "lora"),
    ("cola, length 2", "lora-restart, length 2"),
    ("cola, length 2", "lora-rank-sum, length 2"),
    ("cola, length 2", "linear-probe"),
    ("lora", "linear-probe"),
    ("lora", "zero-shot"),
)


@dataclass(frozen=True)
class Arguments:
    """Compare standard errors of MultiRC's differences."""

    data_dir: Path
    records: Path = Path("data/results")


def clusters(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """The number of the question and of the passage of every row of the split, both (rows,).

    Raises `ColaError` if the file cannot be read.
    """
    questions: list[int] = []
    passages: list[int] = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise ColaError(f"MultiRC's validation split {path} could not be read: {error.strerror}.") from error
    for passage, line in enumerate(lines):
        for question in json.loads(line)["passage"]["questions"]:
            number = questions[-1] + 1 if questions else 0
            questions += [number] * len(question["answers"])
            passages += [passage] * len(question["answers"])
    return np.array(questions), np.array(passages)


def standard_error(gains: list[np.ndarray], of: list[np.ndarray], count: int) -> float:
    """Of the mean of the draws' means, in points: the draws' variance over their number, plus the mean covariance of
    two draws' means, from the clusters (``of`` by draw, 0 to ``count`` - 1) that both hold."""
    means = np.array([gain.mean() for gain in gains])
    sums = [np.bincount(own, gain - gain.mean(), count) for gain, own in zip(gains, of, strict=True)]
    held = [np.bincount(own, minlength=count) > 0 for own in of]
    shared = []
    for one, other in combinations(range(len(gains)), 2):
        both = int((held[one] & held[other]).sum())
        product = float(sums[one] @ sums[other]) / (len(gains[one]) * len(gains[other]))
        shared.append(product * both / (both - 1))
    return 100 * math.sqrt(means.var(ddof=1) / len(gains) + max(float(np.mean(shared)), 0))


def gains_of(first: list[Record], second: list[Record]) -> list[np.ndarray]:
    """By draw, 1 where the first arm alone is right, -1 where the second is."""
    found = []
    for one, other in zip(first, second, strict=True):
        labels = np.array(one.predictions["test_labels"])
        right = [(np.array(record.predictions["test"]) == labels).astype(float) for record in (one, other)]
        found.append(right[0] - right[1])
    return found


def main() -> None:
    arguments = tyro.cli(Arguments)
    questions, passages = clusters(arguments.data_dir / "MultiRC" / "val.jsonl")
    pools = {"multirc": len(questions)}
    records = {record.identity: record for record in Store(arguments.records)}
    chosen = selected(runs_table(record for record in records.values() if record.config.get("task") == "multirc"))
    arms = {
        arm: sorted((records[name] for name in own["identity"]), key=lambda record: record.config["data_seed"])
        for arm, own in chosen[chosen["whole"]].groupby("arm")
    }
    print("| difference | ledger, points | by question, times | by passage, times |\n|---|---|---|---|")
    for first, second in PAIRS:
        if first not in arms or second not in arms:
            continue
        gains, rows = gains_of(arms[first], arms[second]), [items(record, pools) for record in arms[first]]
        ledger = compare(arms[first], arms[second], pools, flips=0).standard_error
        errors = [
            standard_error(gains, [numbers[row] for row in rows], int(numbers.max()) + 1)
            for numbers in (questions, passages)
        ]
        print(f"| `{first}` - `{second}` | {ledger:.3f} | {errors[0] / ledger:.2f} | {errors[1] / ledger:.2f} |")


if __name__ == "__main__":
    exit_cleanly(main)
