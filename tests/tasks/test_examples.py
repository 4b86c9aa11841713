"""Rows become the prompts that MeZO's templates prescribe; broken data is refused in one sentence."""

import json
from dataclasses import replace
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


GOOD, OTHER = (json.dumps(row) for row in ROWS["rte"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (GOOD + "\n" + GOOD[:30], r"train\.jsonl, line 2: not a whole JSON object"),
        ("[1]\n", r"line 1: a JSON object was expected, not \[1\]"),
        ("[" * 100_000, r"line 1: not a whole JSON object"),
        ("1" * 5000, r"line 1: not a whole JSON object"),
        (GOOD.replace("premise", "premiss"), r"line 1: no column 'premise'; found premiss, hypothesis, label, idx\."),
        (GOOD.replace('"label"', '"lable"'), r"line 1: no column 'label'; found premise, hypothesis, lable, idx\."),
        (GOOD.replace('"A dog ran."', "null"), r"line 1: column 'premise' holds None, expected was text"),
        (GOOD.replace('"A dog ran."', "7"), r"line 1: column 'premise' holds 7, expected was text"),
        (GOOD.replace("dog", "\\ud83d"), r"line 1: column 'premise' holds a lone surrogate"),
        (GOOD.replace("entailment", "perhaps"), r"line 1: label 'perhaps' is none of 'entailment'"),
        (GOOD.replace('"entailment"', "[0]"), r"line 1: label \[0\] is none"),
        (GOOD.replace('"entailment"', "null"), r"line 1: label None is none"),
        (GOOD.replace('"entailment"', "-1"), r"line 1: label -1 is none"),
        (GOOD + "\n" + GOOD, r"line 2: a second row with idx 0"),
        (
            GOOD + "\n" + OTHER.replace('"idx"', '"id"'),
            r"line 2: no idx, unlike before; expected in all rows or in none",
        ),
        (GOOD.replace('"idx"', '"id"') + "\n" + OTHER, r"line 2: an idx, unlike before"),
        (
            GOOD.replace('"idx": 0', '"idx": {"passage": 0}'),
            r"line 1: idx is \{'passage': 0\}, expected was a number, a text, or MultiRC's paragraph, question, answer",
        ),
        (GOOD + "\n\n \n" + OTHER, r"line 2: a blank line, but rows follow"),
        ("", r"train\.jsonl holds no example"),
        ("\n\n", r"train\.jsonl holds no example"),
    ],
)
def test_broken_data_is_refused(text: str, said: str, tmp_path: Path) -> None:
    task = write(tmp_path, "rte", train=text)
    with pytest.raises(ColaError, match=said) as caught:
        load_examples(task, "train", tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", [GOOD + "\n" + OTHER, f"{GOOD}\n{OTHER}\n\n \n", f"\ufeff{GOOD}\r\n{OTHER}\r\n"])
def test_line_ends_byte_order_marks_and_blank_ends_do_not_matter(text: str, tmp_path: Path) -> None:
    task = write(tmp_path, "rte")
    usual = load_examples(task, "validation", tmp_path)
    (tmp_path / "RTE" / "val.jsonl").write_bytes(text.encode())
    assert load_examples(task, "validation", tmp_path) == usual


def test_a_table_may_have_them_too(tmp_path: Path) -> None:
    task = write(tmp_path, "sst2")
    usual = load_examples(task, "validation", tmp_path)
    (tmp_path / "SST-2" / "dev.tsv").write_bytes(
        '\ufeffsentence\tlabel\r\n a fine film \t1\r\n"dull\t0\r\n\r\n'.encode()
    )
    assert load_examples(task, "validation", tmp_path) == usual


@pytest.mark.parametrize("raw", ["caf\u00e9".encode("latin-1"), "caf\u00e9".encode("utf-16")])
def test_what_is_not_utf_8_is_refused_with_its_line(raw: bytes, tmp_path: Path) -> None:
    task = write(tmp_path, "rte")
    (tmp_path / "RTE" / "train.jsonl").write_bytes(GOOD.encode() + b"\n" + raw)
    with pytest.raises(ColaError, match=r"train\.jsonl, line 2: not UTF-8 text"):
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
    (tmp_path / "MultiRC" / "train.jsonl").unlink()
    (tmp_path / "MultiRC" / "train.jsonl").mkdir()
    with pytest.raises(ColaError, match=r"train\.jsonl of task multirc could not be read: Is a directory"):
        load_examples(task, "train", tmp_path)


def test_a_column_named_twice_is_refused(tmp_path: Path) -> None:
    task = write(tmp_path, "sst2", train="sentence\tlabel\tsentence\nfine\t1\tdull\n")
    with pytest.raises(ColaError, match=r"train\.tsv, line 1: two columns are named 'sentence'; expected one of each"):
        load_examples(task, "train", tmp_path)


def test_unquoted_labels_that_yaml_reads_as_no_text_are_explained(tmp_path: Path) -> None:
    task = replace(write(tmp_path, "rte"), labels=((True,), (False,)))
    with pytest.raises(ColaError, match=r"label 'entailment' is none of True, False; in the task's file, quote labels"):
        load_examples(task, "train", tmp_path)


AT_THE_START = {"span1_index": 0, "span1_text": "Ann", "span2_index": 0, "span2_text": "She"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"text": None, "target": AT_THE_START}, "line 1: column 'text' holds None"),
        ({"target": None}, "line 1: no column 'span2_text'"),
        ({"target": {"span1_index": 2, "span2_index": 5, "span2_text": "She"}}, "line 1: no column 'span1_text'"),
    ],
)
def test_wsc_without_its_parts_is_refused(change: dict[str, object], said: str, tmp_path: Path) -> None:
    task = write(tmp_path, "wsc", train=json.dumps(ROWS["wsc"][0] | change))
    with pytest.raises(ColaError, match=said):
        load_examples(task, "train", tmp_path)


@pytest.mark.parametrize("place", [-1, -100, 100])
def test_a_wsc_span_outside_its_text_stays_as_it_is(place: int, tmp_path: Path) -> None:
    span = {"span1_index": place, "span1_text": "THE CAT", "span2_index": 5, "span2_text": "She"}
    task = write(tmp_path, "wsc", train=json.dumps(ROWS["wsc"][0] | {"target": span}))
    assert "refer to THE CAT?" in load_examples(task, "train", tmp_path)[0].prompt


def test_the_digest_sees_order_and_labels(tmp_path: Path) -> None:
    one, two = load_examples(write(tmp_path, "rte"), "train", tmp_path)
    changed = type(one)(one.identity, one.prompt, 1 - one.label, one.group)
    assert len({digest([one, two]), digest([two, one]), digest([changed, two]), digest([one])}) == 4
    assert digest(iter([one, two])) == digest([one, two])
