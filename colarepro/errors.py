"""The one exception that reaches a user, and the door through which it does."""

import reprlib
import signal
import sys
from collections.abc import Callable
from typing import Any

_short = reprlib.Repr()  # looks no deeper and no further than it shows, however large the value
_short.maxstring = _short.maxother = _short.maxlong = 60


class ColaError(ValueError):
    """Wrong input, said in one sentence: which thing, and what was expected. It is one line that any stream takes,
    whatever it quotes."""

    def __init__(self, sentence: str) -> None:
        super().__init__(" ".join(sentence.splitlines()).encode(errors="backslashreplace").decode())


class NotFiniteError(ColaError):
    """What was trained is not finite any more: a run's end, and no mistake of the user's."""


class UnwrittenError(ColaError):
    """A record could not be written; what it says is lost unless its run's state is kept."""


def quoted(value: Any) -> str:
    """A value as a sentence quotes it: as Python writes it, but at most eighty characters."""
    try:
        said = _short.repr(value)
    except ValueError:
        return "a number of thousands of digits"
    return said if len(said) <= 80 else f"{said[:77]}..."


def exit_cleanly(main: Callable[[], None]) -> None:
    """Run a command; a `ColaError` becomes one line on standard error and exit code 2, an interruption one and 130.

    So does an `OSError` that names its file: somewhere a path was given where no such file can be read or written.
    A second Ctrl-C finds the command ending already and is not heard, lest it break off what tidies up.
    """
    signal.signal(signal.SIGINT, _interrupt_once)
    try:
        main()
    except ColaError as error:
        print(f"colarepro: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except OSError as error:
        if error.filename is None:
            raise
        file = error.filename2 or error.filename  # of a renaming the second is the one that was asked for
        print(f"colarepro: {ColaError(f'{file} could not be read or written: {error.strerror}.')}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        print("colarepro: interrupted; what was already written stays.", file=sys.stderr)
        raise SystemExit(130) from None


def _interrupt_once(*_: object) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise KeyboardInterrupt
