"""The draw: MeZO's to the letter, and ours where MeZO's starves small tasks."""

import json
from pathlib import Path

import numpy as np
import pytest

from colarepro.errors import ColaError
from colarepro.tasks import digest, draw
from tests.tasks.official import write, write_rte


def numbers(examples: list) -> list[int]:
    return [int(example.identity.split("-")[1]) for example in examples]


def test_mezo_is_one_permutation_with_dev_last(tmp_path: Path) -> None:
    splits = draw(write_rte(tmp_path, 40, 12), tmp_path, seed=3, protocol="mezo", train=20, dev=8, test=10)
    np.random.seed(3)
    order = np.random.permutation(40).tolist()
    np.random.seed(3)
    held = np.random.permutation(12).tolist()
    assert numbers(splits.train) == order[:20]
    assert numbers(splits.dev) == order[20:28]
    assert numbers(splits.test) == held[:10]
    assert all(example.prompt.startswith("v") for example in splits.test)


def test_both_protocols_agree_where_there_is_enough(tmp_path: Path) -> None:
    task = write_rte(tmp_path, 40)
    counts = {"train": 30, "dev": 10, "test": 4}
    assert draw(task, tmp_path, 1, "mezo", **counts) == draw(task, tmp_path, 1, "paper", **counts)


def test_wsc_and_cb_starve_under_mezo_only(tmp_path: Path) -> None:
    """554 and 250 train rows are the real tasks' sizes."""
    task = write_rte(tmp_path, 554)
    mezo, ours = (draw(task, tmp_path, 0, protocol) for protocol in ("mezo", "paper"))
    assert (len(mezo.train), len(mezo.dev)) == (54, 500)
    assert (len(ours.train), len(ours.dev)) == (444, 110)

    rows = [{"premise": "p", "hypothesis": "h", "label": "neutral", "idx": i} for i in range(250)]
    cb = write(tmp_path, "cb", train="".join(json.dumps(row) + "\n" for row in rows))
    mezo, ours = (draw(cb, tmp_path, 0, protocol) for protocol in ("mezo", "paper"))
    assert (len(mezo.train), len(mezo.dev)) == (150, 100)
    assert (len(ours.train), len(ours.dev)) == (200, 50)


@pytest.mark.parametrize("rows", [5, 20, 26, 29, 30])
def test_dev_takes_what_training_leaves_or_a_fifth(rows: int, tmp_path: Path) -> None:
    splits = draw(write_rte(tmp_path, rows), tmp_path, 0, train=20, dev=10)
    assert len(splits.dev) == max(rows // 5, min(rows - 20, 10))
    assert len(splits.train) == min(20, rows - len(splits.dev))
    assert not set(numbers(splits.train)) & set(numbers(splits.dev))


def test_the_seed_decides_train_and_test(tmp_path: Path) -> None:
    task = write_rte(tmp_path, 40, 20)
    counts = {"train": 20, "dev": 10, "test": 10}
    one, again, other = (draw(task, tmp_path, seed, **counts) for seed in (1, 1, 2))
    assert one == again
    assert one.train != other.train
    assert one.test != other.test


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"protocol": "cola"}, "Unknown protocol 'cola'; known are paper and mezo"),
        ({"train": 0}, "number of train examples must be 1 or more, not 0"),
        ({"test": -1}, "number of test examples must be 1 or more, not -1"),
        ({"seed": -1}, "seed of a draw"),
        ({"protocol": "mezo", "dev": 10}, "10 train rows: 10 for dev leave none"),
    ],
)
def test_an_impossible_draw_is_refused(arguments: dict, said: str, tmp_path: Path) -> None:
    with pytest.raises(ColaError, match=said):
        draw(write_rte(tmp_path, 10), tmp_path, **arguments)


def test_every_set_has_a_digest_of_its_own(tmp_path: Path) -> None:
    splits = draw(write_rte(tmp_path, 50, 20), tmp_path, train=30, dev=10, test=10)
    assert splits.digests == {name: digest(getattr(splits, name)) for name in ("train", "dev", "test")}
    assert len(set(splits.digests.values())) == 3
