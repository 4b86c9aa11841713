"""Rows become the prompts that MeZO's templates prescribe; broken data is refused in one sentence."""

import json
from pathlib import Path

import pytest

from colarepro.errors import ColaError
from colarepro.tasks import digest, load_examples, load_task
from tests.tasks.official import ROWS, write

PROMPTS = {
    "sst2": [("a fine film It was", " great"), ('"dull It was', " terrible")],
    "rte": [
        ('A dog ran.\nDoes this mean that "An animal ran." is true? Yes or No?\n', "Yes"),
        ('A dog ran.\nDoes this mean that "A cat ran." is true? Yes or No?\n', "No"),
    ],
    "cb": [
        ('Suppose He knows it. Can we infer that "it"? Yes, No, or Maybe?\n', "Yes"),
        ('Suppose He denies it. Can we infer that "it"? Yes, No, or Maybe?\n', "No"),
        ('Suppose He asks. Can we infer that "it"? Yes, No, or Maybe?\n', "Maybe"),
    ],
    "wsc": [
        (
            "Ann fed the cat before She slept.\n"
            'In the previous sentence, does the pronoun "she" refer to the cat? Yes or No?\n',
            "No",
        ),
        (
            'Ann fed the cat before She slept.\nIn the previous sentence, does the pronoun "she" refer to Ann? '
            "Yes or No?\n",
            "Yes",
        ),
    ],
    "wic": [
        (
            'Does the word "bank" have the same meaning in these two sentences? Yes, No?\nA river bank.\n'
            "A savings bank.\n",
            "No",
        ),
        (
            'Does the word "bank" have the same meaning in these two sentences? Yes, No?\nA river bank.\n'
            "The west bank.\n",
            "Yes",
        ),
    ],
    "boolq": [("Snow is white. Is snow white?\n", "Yes"), ("Snow is white. Is {snow} black?\n", "No")],
    "multirc": [
        ('Ann and Bo ran.\nQuestion: Who ran?\nI found this answer "Ann". Is that correct? Yes or No?\n', "Yes"),
        ('Ann and Bo ran.\nQuestion: Who ran?\nI found this answer "Cy". Is that correct? Yes or No?\n', "No"),
        ('Ann and Bo ran.\nQuestion: Who sat?\nI found this answer "Bo". Is that correct? Yes or No?\n', "No"),
    ],
}


@pytest.mark.parametrize("name", PROMPTS)
def test_prompts_and_answers_follow_the_templates(name: str, tmp_path: Path) -> None:
    task = write(tmp_path, name)
    examples = load_examples(task, "validation", tmp_path)
    assert [(example.prompt, task.verbalizers[example.label]) for example in examples] == PROMPTS[name]
    assert len({example.identity for example in examples}) == len(examples)


def test_multirc_answers_share_their_questions_group(tmp_path: Path) -> None:
    groups = [example.group for example in load_examples(write(tmp_path, "multirc"), "train", tmp_path)]
    assert groups[0] == groups[1] != groups[2]


def test_hub_rows_give_the_same_examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub's copy has integers for labels; BoolQ's run against our order, since False is 0 there."""
    import datasets

    asked = []

    def load_dataset(name: str, config: str, revision: str, split: str) -> list[dict[str, object]]:
        asked.append((name, config, len(revision), split))
        return [row | {"label": int(row["label"])} for row in ROWS["boolq"]]

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    task = write(tmp_path, "boolq")
    assert load_examples(task, "train") == load_examples(task, "train", tmp_path)
    assert asked == [("aps/super_glue", "boolq", 40, "train")]


def test_an_unreachable_hub_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    def refuse(*_: object, **__: object) -> None:
        raise ConnectionError("many\nlines")

    monkeypatch.setattr(datasets, "load_dataset", refuse)
    with pytest.raises(ColaError, match=r"Task rte could not be read from the hub .*ConnectionError.*folder") as caught:
        load_examples(load_task("rte"), "train")
    assert "\n" not in str(caught.value)


GOOD = json.dumps(ROWS["rte"][0])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (GOOD + "\n" + GOOD[:30], r"train\.jsonl, line 2: not a whole JSON object"),
        ("[1]\n", r"line 1: a JSON object"),
        (GOOD.replace("premise", "premiss"), r"line 1: no text in column 'premise'"),
        (GOOD.replace('"label"', '"lable"'), r"line 1: no column 'label'"),
        (GOOD.replace("entailment", "perhaps"), r"line 1: label 'perhaps' is none of 'entailment'"),
        (GOOD.replace('"entailment"', "[0]"), r"line 1: label \[0\] is none"),
        (GOOD.replace('"entailment"', "-1"), r"line 1: label -1 is none"),
        (GOOD + "\n" + GOOD, r"line 2: a second row with idx 0"),
        ("", r"holds no example"),
    ],
)
def test_broken_data_is_refused(text: str, said: str, tmp_path: Path) -> None:
    task = write(tmp_path, "rte", train=text)
    with pytest.raises(ColaError, match=said):
        load_examples(task, "train", tmp_path)


def test_a_missing_file_and_a_ragged_table_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ColaError, match=r"RTE.train\.jsonl of task rte could not be read"):
        load_examples(load_task("rte"), "train", tmp_path)
    task = write(tmp_path, "sst2", train="sentence\tlabel\nno tab here\n")
    with pytest.raises(ColaError, match=r"train\.tsv, line 2: 2 columns"):
        load_examples(task, "train", tmp_path)
    task = write(tmp_path, "multirc", train='{"idx": 0, "passage": {"text": "t"}}\n')
    with pytest.raises(ColaError, match=r"line 1: not in MultiRC's layout"):
        load_examples(task, "train", tmp_path)


def test_the_digest_sees_order_and_labels(tmp_path: Path) -> None:
    one, two = load_examples(write(tmp_path, "rte"), "train", tmp_path)
    changed = type(one)(one.identity, one.prompt, 1 - one.label, one.group)
    assert len({digest([one, two]), digest([two, one]), digest([changed, two]), digest([one])}) == 4
    assert digest(iter([one, two])) == digest([one, two])
