"""Task files: the shipped ones are whole, a user's own is checked."""

from pathlib import Path

import pytest
import yaml

from colarepro.errors import ColaError
from colarepro.tasks import known_tasks, load_task

OWN: dict[object, object] = {
    "files": {"train": "a.jsonl", "validation": "b.jsonl"},
    "template": "{text}\n",
    "verbalizers": ["Yes", "No"],
    "labels": [["a"], ["b"]],
}


def test_the_papers_seven_tasks_are_there_with_pinned_commits() -> None:
    assert known_tasks() == ["boolq", "cb", "multirc", "rte", "sst2", "wic", "wsc"]
    for name in known_tasks():
        task = load_task(name)
        assert task.name == name
        assert task.hub is not None
        assert len(bytes.fromhex(task.hub.revision)) == 20
        assert not any(verbalizer.endswith(" ") for verbalizer in task.verbalizers)


def test_an_unknown_name_lists_the_known() -> None:
    with pytest.raises(ColaError, match=r"Unknown task 'rtee'; known are boolq, cb, .*wsc, and a path to"):
        load_task("rtee")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"layout": "xml"}, "layout 'xml' is none of jsonl, tsv"),
        ({"layout": 3}, "'layout' is 3, expected was text"),
        ({"name": ["mine"]}, r"'name' is \['mine'\], expected was text"),
        *(({"name": name}, "'name' is .* expected was text of letters, digits") for name in ("a/b", "../x", "", "a b")),
        ({"metrics": ["bleu"]}, "metric 'bleu' is none of"),
        ({"metrics": "accuracy"}, "'metrics' is 'accuracy', expected was a list of names"),
        ({"metrics": []}, r"'metrics' is \[\], expected was a list of names"),
        ({"transforms": {"text": "upper"}}, "transform 'upper' is none of"),
        ({"transforms": {"txt": "lower"}}, "'transforms' names 'txt', which is no column"),
        ({"transforms": ["lower"]}, r"'transforms' is \['lower'\], expected was"),
        ({"mezo_dev": True}, "'mezo_dev' is True, expected was a positive number"),
        ({"mezo_dev": 0}, "'mezo_dev' is 0, expected was a positive number"),
        ({"verbaliser": []}, "unknown key 'verbaliser'"),
        ({"home": "/"}, "unknown key 'home'"),
        ({1: 2}, "unknown key 1,"),
    ],
)
def test_a_file_that_describes_no_task_is_refused(change: dict[object, object], said: str, tmp_path: Path) -> None:
    refuse(change, said, tmp_path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"verbalizers": ["Yes", "Yes"]}, "'verbalizers' has 'Yes' twice"),
        ({"verbalizers": ["Yes"], "labels": ["a"]}, "1 'verbalizers' and 1 'labels', expected were two or more"),
        ({"verbalizers": [True, False]}, r"'verbalizers' is \[True, False\], expected was a list of texts; quote"),
        ({"verbalizers": [1, 2]}, "'verbalizers' is .* expected was a list of texts"),
        ({"verbalizers": ["Yes", " "]}, "'verbalizers' is .* expected was a list of texts"),
        ({"verbalizers": "YN"}, "'verbalizers' is 'YN', expected was a list of texts"),
        ({"labels": [["a"]]}, "2 'verbalizers' and 1 'labels', expected were two or more"),
        ({"labels": "ab"}, "'labels' is 'ab', expected was a list"),
        ({"labels": [["a"], []]}, "'labels' is .* expected was a list"),
        ({"labels": [["a"], [None]]}, "'labels' is .* expected was a list"),
        ({"labels": [0.5, 1.5]}, "'labels' is .* expected was a list"),
        ({"labels": [["a", "b"], ["c", "b"]]}, "'labels' has 'b' twice"),
        ({"labels": [[True], [1]]}, "'labels' has (1|True) twice"),
    ],
)
def test_answers_that_do_not_tell_labels_apart_are_refused(
    change: dict[object, object], said: str, tmp_path: Path
) -> None:
    refuse(change, said, tmp_path)


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("none", "names no column"),
        ("{text", "does not describe a task: expected '}' before end of string"),
        ("{}", r"'template' has \{\}, expected was a column's bare name"),
        ("{0}", r"'template' has \{0\}"),
        ("{text.__class__}", r"'template' has \{text.__class__\}"),
        ("{text[0]}", r"'template' has \{text\[0\]\}"),
        ("{text!r}", r"'template' has \{text!r\}"),
        ("{text:>99999999}", r"'template' has \{text:>99999999\}"),
        ("{text:{width}}", r"'template' has \{text:\{width\}\}"),
        (["{text}"], "'template' is .* expected was text"),
    ],
)
def test_a_template_has_bare_names_only(template: object, said: str, tmp_path: Path) -> None:
    refuse({"template": template}, said, tmp_path)


def test_a_key_that_stands_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(OWN) + "labels: [[b], [a]]\n")
    with pytest.raises(ColaError, match=r"mine\.yaml is not YAML: the key 'labels' a second time in line"):
        load_task(path)


def test_a_column_may_have_a_name_of_words_and_a_template_braces(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(OWN | {"template": "{{set}} {größe in-cm}"}))
    assert load_task(path).columns == ["größe in-cm"]


@pytest.mark.parametrize("place", ["../b.jsonl", "a/../../b.jsonl", "/etc/passwd", "..\\b", "\\b", "C:/b", "C:b"])
@pytest.mark.parametrize("key", ["train", "validation", "folder"])
def test_a_place_outside_the_data_folder_is_refused(place: str, key: str, tmp_path: Path) -> None:
    change = {"folder": place} if key == "folder" else {"files": {"train": "a", "validation": "b", key: place}}
    refuse(change, "must lie below the data folder, without '..' or a leading slash", tmp_path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"files": {"train": "a", "validation": "./a"}}, "'files' has 'a' for train and for validation, expected were"),
        ({"files": {"train": "a"}}, "'files' lacks 'validation'"),
        ({"files": {"train": "a", "validation": "b", "test": "c"}}, "'files' has 'test', expected were train, val"),
        ({"files": ["a", "b"]}, "'files' is .* expected was a file name each for train and validation"),
        ({"files": {"train": 1, "validation": "b"}}, "'files' is .* expected was a file name each"),
        ({"hub": {"dataset": "x"}}, "'hub' lacks 'config'"),
        ({"hub": {"dataset": "x", "config": "y", "revision": 7}}, "'hub' is .* expected was texts"),
        ({"hub": {"dataset": "x", "config": "y", "revision": "z", "token": "t"}}, "'hub' has 'token'"),
        ({"hub": "x"}, "'hub' is 'x', expected was texts"),
    ],
)
def test_places_have_the_expected_keys(change: dict[object, object], said: str, tmp_path: Path) -> None:
    refuse(change, said, tmp_path)


@pytest.mark.parametrize("key", ["files", "template", "verbalizers", "labels"])
def test_what_a_task_needs_is_named(key: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({name: value for name, value in OWN.items() if name != key}))
    with pytest.raises(ColaError, match=rf"mine\.yaml does not describe a task: '{key}' is missing\."):
        load_task(path)


def refuse(change: dict[object, object], said: str, folder: Path) -> None:
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump(OWN | change))
    with pytest.raises(ColaError, match=said) as caught:
        load_task(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "[1, 2]", "a: [", "\tx: 1", "a: 2024-13-45", "[" * 5000])
def test_a_file_that_is_no_mapping_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(ColaError, match=r"Task file .*mine\.yaml"):
        load_task(tmp_path / "mine.yaml")
    with pytest.raises(ColaError, match=r"other\.yaml could not be read"):
        load_task(tmp_path / "other.yaml")
