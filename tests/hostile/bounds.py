"""Either a result or one sentence: no traceback, no hang, no gigabytes, no changed file."""

import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from hypothesis import currently_in_test_context, event

from colarepro.errors import ColaError

Result = TypeVar("Result")
SECONDS = 20
BYTES = 2 << 30
LONGEST = 1000  # characters of a sentence


def outcome(act: Callable[[], Result], *folders: Path) -> Result | ColaError:
    """What ``act`` returns, or its `ColaError`; any other exception goes through.

    Within it the process may take two more gigabytes and twenty seconds. Nothing in ``folders`` may change.
    """
    before = [_state(folder) for folder in folders]
    result: Result | ColaError
    try:
        with _bounded():
            result = act()
    except ColaError as error:
        result = error
        said = str(error)
        assert said.endswith(".")
        assert len(said.splitlines()) == 1
        assert len(said) <= LONGEST
        assert said == said.encode(errors="replace").decode()
    if currently_in_test_context():
        event("refused" if isinstance(result, ColaError) else "accepted")  # --hypothesis-show-statistics
    assert [_state(folder) for folder in folders] == before
    return result


def _state(folder: Path) -> list[tuple[Path, int, int]]:
    found = [(path, path.lstat()) for path in sorted(folder.rglob("*"))]
    return [(path, state.st_size, state.st_mtime_ns) for path, state in found]


@contextmanager
def _bounded() -> Iterator[None]:
    def ring(*_: object) -> None:
        raise AssertionError(f"It took more than {SECONDS} seconds.")

    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    earlier = signal.signal(signal.SIGALRM, ring)
    resource.setrlimit(resource.RLIMIT_AS, (used + BYTES, hard))
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        signal.signal(signal.SIGALRM, earlier)
