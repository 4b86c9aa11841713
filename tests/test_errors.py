import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from colarepro.errors import ColaError, exit_cleanly, quoted


def test_a_sentence_is_one_line_whatever_it_quotes() -> None:
    assert str(ColaError("a\nb\u2028c\x1ed.")) == "a b c d."


def test_a_sentence_can_be_written_whatever_it_quotes() -> None:
    assert str(ColaError("no key \ud800 in ü.")).encode().decode() == "no key \\ud800 in ü."


def test_a_short_value_is_quoted_as_python_writes_it() -> None:
    for value in ("text", 3, None, [1, "a"], {"a": 0.5}, (1, 2)):
        assert quoted(value) == repr(value)


def shared(levels: int) -> list[object]:
    """A list of nine of one list of nine of one list, and so on: written out, it has no end."""
    value: list[object] = ["x"]
    for _ in range(levels):
        value = 9 * [value]
    return value


LONG: dict[str, object] = {
    "letters": "x" * 10**6,
    "digits": 10**5000,
    "shared": shared(30),
    "itself": (itself := []),
    "a mapping": {"a" * 500: "b" * 500},
    "many": list(range(10**6)),
}
itself.append(itself)


@pytest.mark.parametrize("what", LONG)
def test_a_long_value_is_quoted_in_part(what: str) -> None:
    assert len(quoted(LONG[what])) <= 80


@pytest.fixture
def interruptible() -> Iterator[None]:
    """`exit_cleanly` takes Ctrl-C for the rest of the process."""
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_what_the_system_refuses_of_a_file_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a").write_text("")
    (tmp_path / "b").mkdir()
    for refused, named in (
        (lambda: (tmp_path / "a\nline").read_text(), "a line"),
        (lambda: (tmp_path / "a").replace(tmp_path / "b"), "b"),
    ):
        with pytest.raises(SystemExit) as left:
            exit_cleanly(refused)  # type: ignore[arg-type]
        assert left.value.code == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"colarepro: {tmp_path / named} could not be read or written: ")


@pytest.mark.usefixtures("interruptible")
def test_a_failure_that_names_no_file_keeps_its_traceback() -> None:
    def broken() -> None:
        raise OSError("a bug")

    with pytest.raises(OSError, match="a bug"):
        exit_cleanly(broken)
