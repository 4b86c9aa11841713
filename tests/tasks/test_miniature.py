"""The miniature tasks: reproducible, balanced, and beyond any single word."""

import re
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from colarepro.errors import ColaError
from colarepro.tasks import draw, known_tasks, load_examples, load_task
from colarepro.tasks.miniature import Miniature

COMMITTED = Path(__file__).parents[2] / "data" / "miniature"


def test_the_committed_files_are_the_generators(tmp_path: Path) -> None:
    Miniature(tmp_path).write()
    made = {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.rglob("*.*")}
    kept = {path.relative_to(COMMITTED): path.read_bytes() for path in COMMITTED.rglob("*.*")}
    assert len(made) == 14
    assert made == kept
    assert sum(map(len, kept.values())) < 1_500_000


@pytest.mark.parametrize("name", known_tasks())
def test_neither_the_majority_nor_a_word_solves_a_task(name: str) -> None:
    examples = load_examples(load_task(name), "train", COMMITTED)
    labels = Counter(example.label for example in examples)
    assert max(labels.values()) - min(labels.values()) <= 0.02 * len(examples)
    counts: dict[str, Counter[int]] = defaultdict(Counter)
    for example in examples:
        for word in set(re.findall(r"\w+", example.prompt)):
            counts[word][example.label] += 1
    # The best rule that looks for one word: one label where it stands, another where it does not.
    best = max(
        max(present.values()) + max((labels - present).values(), default=0) for present in map(Counter, counts.values())
    )
    assert best / len(examples) < (0.6 if len(labels) == 2 else 0.5)


@pytest.mark.parametrize("name", known_tasks())
def test_validation_asks_nothing_that_train_answered(name: str) -> None:
    task = load_task(name)
    train, validation = (load_examples(task, split, COMMITTED) for split in ("train", "validation"))
    assert len({example.prompt for example in train}) == len(train) == 1200
    assert not {example.prompt for example in train} & {example.prompt for example in validation}
    assert len(draw(task, COMMITTED, train=1000, dev=200).train) == 1000


def test_another_seed_gives_other_rows_and_a_small_world_refuses(tmp_path: Path) -> None:
    Miniature(tmp_path, train=8, validation=8, seed=1).write()
    assert (tmp_path / "RTE" / "val.jsonl").read_text() not in (COMMITTED / "RTE" / "val.jsonl").read_text()
    with pytest.raises(ColaError, match=r"miniature sst2 has no .* different rows"):
        Miniature(tmp_path, train=10_000).write()


def test_the_command_writes_and_refuses(tmp_path: Path) -> None:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "colarepro.tasks.miniature", str(tmp_path / "out"), *words]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    assert run("--train", "9", "--validation", "3").returncode == 0
    assert len((tmp_path / "out" / "SST-2" / "train.tsv").read_text().splitlines()) == 10
    refused = run("--train", "0")
    assert refused.returncode == 2
    assert refused.stderr.strip().count("\n") == 0
