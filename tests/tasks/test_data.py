"""Reading, drawing, encoding and judging, on small files in the official layout and on the miniature tasks."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from colarepro.errors import ColaError
from colarepro.models import tiny
from colarepro.tasks import Example, digest, draw, encode, known_tasks, load_examples, load_task, scores
from colarepro.tasks.miniature import Miniature
from sklearn.metrics import f1_score

MINIATURE = Path(__file__).parents[2] / "data" / "miniature"
RTE = {"premise": "A dog runs.", "hypothesis": "A dog moves.", "label": "entailment"}


def write_rte(folder: Path, rows: list[Any], name: str = "train.jsonl") -> Path:
    path = folder / "RTE" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(row if isinstance(row, str) else json.dumps(row) + "\n" for row in rows))
    return folder


def test_mezo_prompts() -> None:
    """The templates of MeZO's code, written out once by hand."""
    expected = {
        "sst2": (" It was", [" terrible", " great"]),
        "rte": ('" is true? Yes or No?\n', ["Yes", "No"]),
        "cb": ('"? Yes, No, or Maybe?\n', ["Yes", "No", "Maybe"]),
        "boolq": ("?\n", ["No", "Yes"]),
        "wsc": ("? Yes or No?\n", ["No", "Yes"]),
        "wic": ("\n", ["No", "Yes"]),
        "multirc": ('". Is that correct? Yes or No?\n', ["No", "Yes"]),
    }
    assert set(expected) == set(known_tasks())
    for name, (end, verbalizers) in expected.items():
        task = load_task(name)
        first = load_examples(task, "validation", MINIATURE)[0]
        assert first.prompt.endswith(end), name
        assert sorted(task.verbalizers) == sorted(verbalizers), name
        assert task.verbalizers[first.label] in verbalizers


def test_boolq_asks_a_question() -> None:
    example = load_examples(load_task("boolq"), "validation", MINIATURE)[0]
    passage, question = example.prompt.rstrip("\n").rsplit(" Is ", 1)
    assert passage.endswith(".")
    assert question.endswith("?")


def test_multirc_groups_the_answers_to_a_question() -> None:
    groups = Counter(example.group for example in load_examples(load_task("multirc"), "validation", MINIATURE))
    assert set(groups.values()) == {4}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([RTE, '{"premise": "A'], "train.jsonl, line 2: not a whole JSON object"),
        ([{"premise": "A", "label": "entailment"}], "line 1: no text in column 'hypothesis'"),
        ([RTE | {"label": "maybe"}], "line 1: label 'maybe' is none of 'entailment'"),
        ([RTE | {"idx": 3}, RTE | {"idx": 3}], "line 2: a second row with idx 3"),
        ([], "holds no example"),
        (["[1]\n"], "a JSON object was expected"),
    ],
)
def test_broken_data_is_named(rows: list[Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ColaError, match=message):
        load_examples(load_task("rte"), "train", write_rte(tmp_path, rows))


def test_a_missing_file_and_an_unreachable_hub_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ColaError, match=r"RTE/train.jsonl of task rte could not be read: No such file"):
        load_examples(load_task("rte"), "train", tmp_path)
    monkeypatch.setattr("datasets.load_dataset", lambda *_, **__: (_ for _ in ()).throw(ConnectionError("down")))
    with pytest.raises(ColaError, match=r"could not be read from the hub .*; give a data folder"):
        load_examples(load_task("rte"), "train")


def test_a_users_own_task(tmp_path: Path) -> None:
    path = tmp_path / "mood.yaml"
    path.write_text(
        "name: mood\nfolder: RTE\nfiles: {train: train.jsonl, validation: val.jsonl}\nlayout: jsonl\n"
        'template: "{premise} Happy?"\nverbalizers: [" no", " yes"]\nlabels: [[0], [1]]\n'
    )
    write_rte(tmp_path, [{"premise": "Hurrah.", "label": 1}])
    assert load_examples(load_task(path), "train", tmp_path) == [Example("train-0", "Hurrah. Happy?", 1, "train-0")]
    path.write_text(path.read_text().replace("jsonl\n", "csv\n"))
    with pytest.raises(ColaError, match=r"mood.yaml does not describe a task: layout 'csv'"):
        load_task(path)


@pytest.mark.parametrize(
    ("protocol", "rows", "sizes"),
    [("mezo", 554, (54, 500)), ("paper", 554, (444, 110)), ("mezo", 1600, (1000, 500)), ("paper", 1600, (1000, 500))],
)
def test_the_draw(protocol: Any, rows: int, sizes: tuple[int, int], tmp_path: Path) -> None:
    """MeZO: one permutation of numpy's legacy generator, dev its last 500, even if few are left to train on."""
    write_rte(tmp_path, [RTE | {"idx": place} for place in range(rows)])
    write_rte(tmp_path, [RTE | {"idx": place} for place in range(30)], "val.jsonl")
    splits = draw(load_task("rte"), tmp_path, seed=7, protocol=protocol)
    assert (len(splits.train), len(splits.dev), len(splits.test)) == (*sizes, 30)
    order = np.random.RandomState(7).permutation(rows)[:1500]
    expected = [f"train-{place}" for place in order]
    assert [example.identity for example in splits.train + splits.dev] == expected
    assert digest(splits.train) != digest(draw(load_task("rte"), tmp_path, seed=8, protocol=protocol).train)


def test_encoding_keeps_the_beginning_and_the_end() -> None:
    task = load_task("rte")
    examples = load_examples(task, "validation", MINIATURE)[:20]
    tokenizer = tiny.tokenizer([example.prompt for example in examples])
    whole, cut = encode(task, examples, tokenizer), encode(task, examples, tokenizer, max_length=12)
    assert whole.single_token
    for example, prompt in zip(examples, whole.prompts, strict=True):
        for verbalizer, candidate in zip(task.verbalizers, whole.candidates, strict=True):
            assert prompt + candidate == tokenizer(example.prompt + verbalizer)["input_ids"]
    for long, short in zip(whole.prompts, cut.prompts, strict=True):
        assert short == long[:1] + long[-10:]
        assert len(short) + len(cut.candidates[0]) == 12


def test_scores_against_scikit_learn() -> None:
    random = np.random.default_rng(0)
    cb, multirc = load_task("cb"), load_task("multirc")
    truth, predicted = random.integers(0, 3, 60), random.integers(0, 3, 60)
    examples = [Example(str(i), "", int(label), str(i)) for i, label in enumerate(truth)]
    found = scores(cb, examples, predicted.tolist())
    assert found["macro_f1"] == pytest.approx(f1_score(truth, predicted, average="macro"))
    assert found["accuracy"] == pytest.approx((truth == predicted).mean())
    assert found["majority"] == pytest.approx(max(Counter(truth.tolist()).values()) / 60)
    truth, predicted = random.integers(0, 2, 60), random.integers(0, 2, 60)
    examples = [Example(str(i), "", int(label), str(i // 2)) for i, label in enumerate(truth)]
    found = scores(multirc, examples, predicted.tolist())
    assert found["f1a"] == pytest.approx(f1_score(truth, predicted))
    assert found["exact_match"] == pytest.approx((truth == predicted).reshape(-1, 2).all(1).mean())


def test_the_committed_miniature_tasks_are_what_the_generator_writes(tmp_path: Path) -> None:
    Miniature(tmp_path).write()
    committed = {path.relative_to(MINIATURE): path.read_bytes() for path in MINIATURE.rglob("*") if path.is_file()}
    written = {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert written == committed


@pytest.mark.parametrize("name", known_tasks())
def test_neither_majority_nor_a_single_word_solves_a_miniature_task(name: str) -> None:
    task = load_task(name)
    train, held = (load_examples(task, split, MINIATURE) for split in ("train", "validation"))
    labels = range(len(task.labels))
    best = max(Counter(example.label for example in held).values()) / len(held)
    for word in {word for example in train for word in example.prompt.split()}:
        rule = {}
        for present in (True, False):
            counts = Counter(example.label for example in train if (word in example.prompt.split()) is present)
            rule[present] = max(labels, key=lambda label: counts[label])
        best = max(best, sum(rule[word in e.prompt.split()] == e.label for e in held) / len(held))
    assert best < (0.70 if len(task.labels) == 2 else 0.60)
