from itertools import pairwise
from pathlib import Path

import pytest

from colarepro.errors import ColaError
from colarepro.yaml_file import LARGEST, read_yaml


def test_plain_values_are_read_and_so_are_ordinary_merges(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("\ufeffa: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}", encoding="utf-8")
    assert read_yaml(path) == {"a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 3}}


def test_a_merge_of_a_merge_is_no_second_key(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("a: &a {x: 1}\nb: &b {<<: *a, x: 2}\nc: {<<: *b, x: 3}\nd: {<<: *a, <<: *b, '1': 1, 1: 1}")
    assert read_yaml(path)["c"] == {"x": 3}
    assert read_yaml(path)["d"].keys() == {"x", "1", 1}


def merges(levels: int) -> str:
    """Each level takes in nine times the one before."""
    names = "abcdefghijkl"[: levels + 1]
    steps = (f"{new}: &{new} {{<<: [{', '.join(9 * [f'*{old}'])}]}}" for old, new in pairwise(names))
    return "\n".join(["a: &a {x: 1, y: 2}", *steps])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (merges(11), "a mapping of more than 10000 keys"),
        ("x" * (LARGEST + 1), "is too large; expected YAML of at most 1 MB"),
        ("!!python/object/apply:os.system [true]", "could not determine a constructor"),
        ("!!bool maybe", "is not YAML"),
        ("!!timestamp soon", "is not YAML"),
        ("? [a]\n: b", "unhashable key"),
        ("a: 1\nb: 2\na: 3", "the key 'a' a second time in line 3"),
        ("x: [{1: a, 1: b}]", "the key '1' a second time in line 1"),
        ("[" * 9000, "is not YAML"),
        ("1" * 9000, "is not YAML"),
    ],
    ids=range(10),
)
def test_what_is_no_plain_value_is_one_sentence(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(ColaError, match=said) as refused:
        read_yaml(path)
    assert str(path) in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


def test_a_name_that_no_file_has_is_one_sentence() -> None:
    with pytest.raises(ColaError, match="null"):
        read_yaml(Path("a\0b.yaml"))
