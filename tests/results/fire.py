"""Writers that end badly, in processes of their own: ``python -m tests.results.fire NAME FOLDER``; prints what it saw.

A process apart, since only one without threads may be forked a thousand times.
"""

import json
import os
import resource
import signal
import sys
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

from colarepro.errors import ColaError
from colarepro.results import Record, Store

WRITERS, RECORDS = 8, 2000


def record(seed: int, said: float = 0.0) -> Record:
    return Record("llm", {"task": "rte", "seed": seed}, scores={"accuracy": said}, predictions={"test": [0, 1] * 20})


def child(act: Callable[[], None]) -> int:
    """The wait status of a child process that does this."""
    number = os.fork()
    if number == 0:
        act()
        os._exit(0)
    return os.waitpid(number, 0)[1]


class Neighbourhood:
    """A store with an old answer and a neighbour, and what it may look like after a writer of a new answer."""

    def __init__(self, folder: Path) -> None:
        self.store, self.old, self.new, self.neighbour = Store(folder), record(1, 0.25), record(1, 0.75), record(2)
        self.store.put(self.neighbour)
        self.seen: Counter[str] = Counter()
        self.restore()

    def restore(self) -> None:
        for aside in self.store.folder.glob(".partial-*"):
            aside.unlink()
        self.store.put(self.old)

    def put_new(self) -> None:
        self.store.put(self.new)

    def look(self) -> None:
        """Count what a reader sees; anything but whole records is an error."""
        found = {each.config["seed"]: each for each in self.store}
        assert self.store.damage() == []
        assert found[2] == self.neighbour
        assert found.keys() == {1, 2}
        assert found[1] in (self.old, self.new)
        self.seen["new" if found[1] == self.new else "old"] += 1
        self.seen["asides"] += len(list(self.store.folder.glob(".partial-*")))
        self.restore()


def killed_at_every_call(folder: Path) -> Counter[str]:
    """kill -9 before every call into C of a put; between two of them nothing happens that a reader could see."""
    around = Neighbourhood(folder)

    def put_until(event: int) -> None:
        left = event

        def count(_frame: object, what: str, _of: object) -> None:
            nonlocal left
            left -= what == "c_call"
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.setprofile(count)
        around.put_new()

    event = 0
    while os.WIFSIGNALED(child(partial(put_until, event))):
        around.look()
        event += 1
    assert event > 100
    return around.seen


def full_at_every_byte(folder: Path, ends: bool) -> Counter[str]:
    """The system lets the file grow to so many bytes; the next one kills the writer (``ends``) or is refused."""
    around = Neighbourhood(folder)
    size = len(around.new.to_json())

    def put_within(room: int) -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL if ends else signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
        try:
            around.put_new()
        except ColaError as error:
            os._exit(2 if str(error).endswith("could not be written: File too large.") else 3)

    for room in range(size + 1):
        status = child(partial(put_within, room))
        if room == size:
            assert status == 0
        elif ends:
            assert os.WTERMSIG(status) == signal.SIGXFSZ
        else:
            assert os.waitstatus_to_exitcode(status) == 2
        around.look()
    return around.seen


def pack_full_at_every_byte(folder: Path) -> Counter[str]:
    """No room for a packed file of two records, where one of one record stands."""
    store, archive = Store(folder / "in"), folder / "out" / "a.jsonl.xz"
    store.put(record(1))
    store.pack(archive)
    before = archive.read_bytes()
    store.put(record(2))
    store.pack(folder / "whole.jsonl.xz")
    after = (folder / "whole.jsonl.xz").read_bytes()
    seen: Counter[str] = Counter()

    def pack_within(room: int) -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
        try:
            store.pack(archive)
        except ColaError as error:
            os._exit(2 if str(error).endswith("could not be written: File too large.") else 3)

    for room in range(len(after) + 1):
        whole = room == len(after)
        assert os.waitstatus_to_exitcode(child(partial(pack_within, room))) == (0 if whole else 2)
        assert archive.read_bytes() == (after if whole else before)
        assert len(list(archive.parent.iterdir())) == 1
        seen["new" if whole else "old"] += 1
    return seen


def many_writers(folder: Path) -> Counter[str]:
    """Eight writers, 2,000 records, every second one written by two of them; a reader meanwhile."""
    store = Store(folder)

    def write(part: int) -> None:
        for seed in range(RECORDS):
            if seed % WRITERS == part or (seed % 2 == 0 and seed % WRITERS == (part + 1) % WRITERS):
                store.put(record(seed, part))
        os._exit(0)

    children = []
    for part in range(WRITERS):
        children.append(os.fork())
        if children[-1] == 0:
            write(part)
    seen: Counter[str] = Counter()
    while children:
        number, status = os.waitpid(-1, os.WNOHANG)
        if number:
            assert status == 0
            children.remove(number)
        assert store.damage() == []
        seen["looks"] += 1
    found = list(store)
    assert sorted(each.config["seed"] for each in found) == list(range(RECORDS))
    seen["records"] = len(found)
    seen["asides"] = len(list(folder.glob(".partial-*")))
    return seen


DISASTERS: dict[str, Callable[[Path], Counter[str]]] = {
    "killed": killed_at_every_call,
    "cut": lambda folder: full_at_every_byte(folder, ends=True),
    "full": lambda folder: full_at_every_byte(folder, ends=False),
    "packing": pack_full_at_every_byte,
    "many": many_writers,
}

if __name__ == "__main__":
    print(json.dumps(DISASTERS[sys.argv[1]](Path(sys.argv[2]))))
