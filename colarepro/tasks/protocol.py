"""The draw: which examples a run trains on, chooses by, and is judged on."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from colarepro.errors import ColaError
from colarepro.tasks.examples import Example, digest, load_examples
from colarepro.tasks.task import Split, Task

Protocol = Literal["paper", "mezo"]


@dataclass(frozen=True)
class Splits:
    """The three drawn sets; ``dev`` comes from the train split, ``test`` from the validation split."""

    train: list[Example]
    dev: list[Example]
    test: list[Example]

    @functools.cached_property
    def digests(self) -> dict[str, str]:
        """The `digest` of each set by its name; many runs share a draw, and ask once."""
        return {"train": digest(self.train), "dev": digest(self.dev), "test": digest(self.test)}


def draw(
    task: Task,
    data_dir: Path | str | None = None,
    seed: int = 0,
    protocol: Protocol = "paper",
    train: int = 1000,
    dev: int = 500,
    test: int = 1000,
    read: Callable[[Task, Split, Path | str | None], Sequence[Example]] = load_examples,
) -> Splits:
    """Draw at most ``train``, ``dev`` and ``test`` examples; the seed decides all three sets. ``read`` gives a split's
    examples to draw from.

    ``mezo`` is MeZO's draw as its code has it (princeton-nlp/MeZO, ``sample_subset`` in ``tasks.py``): one NumPy
    permutation of the train split, cut to ``train + dev`` rows or what there is; dev is the last ``dev`` of them.
    Test is a permutation of the validation split under the same seed, cut to ``test``. Its script gives CB 100
    dev rows. Followed to the letter, WSC (554 rows) trains on 54 examples and CB (250) on 150.

    ``paper`` differs in one thing: where the train split has fewer than ``train + dev`` rows, dev takes what
    training leaves, or a fifth of the rows (one at least) if that is more. Choosing among a few learning rates
    needs fewer rows than learning does: WSC trains on 444 and CB on 200. Larger tasks get the very sets of ``mezo``.

    Raises `ColaError` for a count below 1, an unknown protocol, or if nothing remains to train on.
    """
    if protocol not in ("paper", "mezo"):
        raise ColaError(f"Unknown protocol {protocol!r}; known are paper and mezo.")
    for name, count in (("train", train), ("dev", dev), ("test", test)):
        if count < 1:
            raise ColaError(f"The number of {name} examples must be 1 or more, not {count}.")
    if not 0 <= seed < 2**32:
        raise ColaError(f"The seed of a draw must lie between 0 and 2**32 - 1, not {seed}.")
    pool = read(task, "train", data_dir)
    train, dev = sizes(task, len(pool), protocol, train, dev)
    if train < 1:
        raise ColaError(f"Task {task.name} has {len(pool)} train rows: {dev} for dev leave none to train on.")
    drawn = _permuted(pool, seed)
    held = _permuted(read(task, "validation", data_dir), seed)[:test]
    return Splits(train=drawn[:train], dev=drawn[train : train + dev], test=held)


def sizes(task: Task, rows: int, protocol: Protocol = "paper", train: int = 1000, dev: int = 500) -> tuple[int, int]:
    """How many of ``rows`` train rows `draw` takes for train (0 if none is left) and for dev."""
    if protocol == "mezo":
        dev = min(dev, task.mezo_dev or dev)
    elif train + dev > rows:
        dev = min(dev, max(1, rows // 5, rows - train))
    dev = min(dev, rows)
    return min(train, rows - dev), dev


def _permuted(examples: Sequence[Example], seed: int) -> list[Example]:
    """NumPy's legacy generator, freshly seeded, since that is what MeZO's draws come from."""
    return [examples[i] for i in np.random.RandomState(seed).permutation(len(examples))]
