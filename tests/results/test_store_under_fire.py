"""Killed writers, full disks, torn files: what is whole stays readable, and the rest is named."""

import json
import logging
import lzma
import os
import subprocess
import sys
from pathlib import Path

import pytest

from colarepro.errors import ColaError
from colarepro.results import Record, Store

from .fire import RECORDS, record


def under_fire(disaster: str, folder: Path) -> dict[str, int]:
    words = [sys.executable, "-m", "tests.results.fire", disaster, str(folder)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr
    seen: dict[str, int] = json.loads(done.stdout)
    return seen


def test_a_writer_killed_at_any_instant_leaves_the_old_record_or_the_new_one(tmp_path: Path) -> None:
    seen = under_fire("killed", tmp_path)
    assert seen["old"] > 100
    assert 0 < seen["new"] < seen["old"]
    assert 0 < seen["asides"] <= seen["old"]  # those are what doctor sweeps up


def test_a_writer_killed_at_any_byte_leaves_the_old_record(tmp_path: Path) -> None:
    size = len(record(1, 0.75).to_json())
    assert under_fire("cut", tmp_path) == {"old": size, "new": 1, "asides": size}


def test_a_disk_full_at_any_byte_is_one_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    size = len(record(1, 0.75).to_json())
    assert under_fire("full", tmp_path) == {"old": size, "new": 1, "asides": 0}


def test_packing_onto_a_disk_full_at_any_byte_leaves_the_old_archive(tmp_path: Path) -> None:
    seen = under_fire("packing", tmp_path)
    assert seen == {"old": (tmp_path / "whole.jsonl.xz").stat().st_size, "new": 1}


def test_eight_writers_at_once_leave_every_record_whole(tmp_path: Path) -> None:
    seen = under_fire("many", tmp_path)
    assert seen["records"] == RECORDS
    assert seen["asides"] == 0
    assert seen["looks"] > 1


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Three records, of which the second is to be damaged."""
    store = Store(tmp_path)
    for seed in (1, 2, 3):
        store.put(record(seed))
    return store


def whole(store: Store) -> list[int]:
    return sorted(each.config["seed"] for each in store)


def check_damaged(store: Store, said: str, caplog: pytest.LogCaptureFixture) -> None:
    """The other two are read, the damaged one is named, once, and its question is not answered by silence."""
    caplog.clear()
    assert whole(store) == [1, 3]
    assert [entry.getMessage() for entry in caplog.records] == [each.said for each in store.damage()]
    (damage,) = store.damage()
    assert damage.path == store.path("llm", record(2).config)
    assert str(damage.path) in damage.said
    assert said in damage.said
    assert damage.said.endswith(".")
    assert "\n" not in damage.said
    for ask in (lambda: store.get("llm", record(2).config), lambda: store.find(record(2).identity)):
        with pytest.raises(ColaError) as refused:
            ask()
        assert str(refused.value) == damage.said
    assert store.get("llm", record(1).config) == record(1)


def test_a_record_torn_at_any_byte_hides_no_other(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    path = store.path("llm", record(2).config)
    text = path.read_bytes()
    for size in range(len(text) - 1):
        path.write_bytes(text[:size])
        check_damaged(store, "is not a whole record", caplog)
    path.write_bytes(text[:-1])  # the line's end alone
    assert whole(store) == [1, 2, 3]


GARBAGE = {
    "zeros": bytes(400),
    "noise": bytes(range(256)),
    "another encoding": record(2).to_json().encode("utf-16"),
    "a list": b"[]",
    "a number": b"1",
    "a depth": b"[" * 100_000,
    "a long number": b"1" * 5_000,
    "an unknown field": b'{"kind": "llm", "config": {}, "x": 1}',
    "no config": b'{"kind": "llm", "config": 3}',
    "no kind": b'{"kind": ["llm"], "config": {}}',
    "no status": b'{"kind": "llm", "config": {}, "status": "great"}',
    "no reason": b'{"kind": "llm", "config": {}, "reason": 1}',
    "no predictions": b'{"kind": "llm", "config": {}, "predictions": {"test": "01x"}}',
    "no digits": '{"kind": "llm", "config": {}, "predictions": {"test": "²³"}}'.encode(),
}


@pytest.mark.parametrize("what", GARBAGE)
def test_garbage_hides_no_other_record(store: Store, what: str, caplog: pytest.LogCaptureFixture) -> None:
    store.path("llm", record(2).config).write_bytes(GARBAGE[what])
    check_damaged(store, "is not a whole record", caplog)


def test_a_record_under_anothers_name_answers_nothing(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    store.path("llm", record(2).config).write_text(record(4).to_json())
    check_damaged(store, f"holds the record {record(4).identity}", caplog)


def test_a_folder_in_a_records_place_is_named(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    path = store.path("llm", record(2).config)
    path.unlink()
    path.mkdir()
    check_damaged(store, "could not be read: Is a directory", caplog)


def test_a_damaged_file_does_not_hide_the_packed_record(store: Store) -> None:
    store.pack(store.folder / "a.jsonl.xz")
    store.path("llm", record(2).config).write_text("")
    assert whole(store) == [1, 2, 3]
    assert Store(store.folder).get("llm", record(2).config) == record(2)
    assert len(store.damage()) == 1


def test_a_run_recorded_twice_is_read_once(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    copy = store.folder / "a" / store.path("llm", record(2).config).name
    copy.parent.mkdir()
    copy.write_text(record(2).to_json())
    assert whole(store) == [1, 2, 3]
    assert store.damage() == []
    copy.write_text(record(2, 0.9).to_json())
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        assert {each.identity: each for each in store}[record(2).identity] == record(2)
    first = store.path("llm", record(2).config)
    said = f"{copy} is another record of the run {first.stem} than {first}, which counts."
    assert [entry.getMessage() for entry in caplog.records] == [said]
    copy.write_text("{")
    assert whole(store) == [1, 2, 3]
    assert [each.path for each in store.damage()] == [copy]
    copy.write_text(record(2).to_json())
    first.write_text("{")
    assert whole(store) == [1, 2, 3]
    assert [each.path for each in store.damage()] == [first]


def test_a_record_deleted_under_a_reader_is_passed_over(store: Store) -> None:
    reader = store.scan()
    found = [next(reader)]
    for path in store.folder.glob("*.json"):
        path.unlink()
    assert [*found, *reader] == found


@pytest.fixture
def packed(store: Store) -> Store:
    """The three records in one archive and nowhere else."""
    store.pack(store.folder / "a.jsonl.xz")
    for path in store.folder.glob("*.json"):
        path.unlink()
    return store


def test_an_archive_cut_at_any_byte_gives_the_records_before_the_cut(packed: Store) -> None:
    archive, records = packed.folder / "a.jsonl.xz", list(packed)
    data, counts = archive.read_bytes(), set()
    for size in range(len(data)):
        archive.write_bytes(data[:size])
        os.utime(archive, ns=(size, size))
        store = Store(packed.folder)
        found = list(store)
        counts.add(len(found))
        assert found == records[: len(found)]
        assert [each.said for each in store.damage()] == [
            f"The archive {archive} is not whole (its end is missing); restore it, since only {len(found)} of its "
            "records can be read."
        ]
        for each in records:
            if each in found:
                assert store.get("llm", each.config) == each
            else:
                with pytest.raises(ColaError, match="is not whole"):
                    store.get("llm", each.config)
    assert counts == {0, 1, 2, 3}


def test_an_archive_altered_at_any_byte_gives_no_wrong_record(packed: Store) -> None:
    archive, records = packed.folder / "a.jsonl.xz", list(packed)
    data = bytearray(archive.read_bytes())
    for place in range(len(data)):
        data[place] ^= 0x10
        archive.write_bytes(data)
        os.utime(archive, ns=(place, place))
        store = Store(packed.folder)
        assert list(store) in ([], records)
        assert store.damage()
        data[place] ^= 0x10


def test_a_line_that_is_no_record_is_named_and_the_others_read(packed: Store) -> None:
    archive = packed.folder / "a.jsonl.xz"
    lines = lzma.decompress(archive.read_bytes()).splitlines(keepends=True)
    again = record(5, 0.5).to_json().encode()
    archive.write_bytes(
        lzma.compress(b"".join([lines[0], b"\xff{\n", *lines[1:], record(5).to_json().encode(), again]))
    )
    store = Store(packed.folder)
    assert whole(store) == [1, 2, 3, 5]
    first, second = (each.said for each in store.damage())
    assert first.startswith(f"Line 2 of {archive} is not a whole record")
    assert second == f"Line 6 of {archive} is a second, different record {record(5).identity}; the first counts."


def test_joined_archives_are_read(packed: Store) -> None:
    archive = packed.folder / "a.jsonl.xz"
    more = lzma.compress(record(4).to_json().encode())
    archive.write_bytes(archive.read_bytes() + more)
    assert whole(Store(packed.folder)) == [1, 2, 3, 4]
    archive.write_bytes(archive.read_bytes() + more[:-9])
    assert whole(Store(packed.folder)) == [1, 2, 3, 4]
    assert len(Store(packed.folder).damage()) == 1


def test_what_is_set_aside_is_not_read(store: Store) -> None:
    path = store.path("llm", record(2).config)
    (store.folder / "damaged").mkdir()
    path.replace(store.folder / "damaged" / path.name)
    assert whole(store) == [1, 3]
    assert store.damage() == []
    assert store.get("llm", record(2).config) is None


def test_a_damaged_record_is_not_packed(store: Store) -> None:
    store.path("llm", record(2).config).write_text("{")
    with pytest.raises(ColaError, match="is not a whole record"):
        store.pack(store.folder / "a.jsonl.xz")
    assert not (store.folder / "a.jsonl.xz").exists()


def test_records_know_their_holder(store: Store) -> None:
    store.pack(store.folder / "a.jsonl.xz")
    single = store.path("llm", record(2).config)
    assert store.holder(record(2).identity) == single
    single.unlink()
    assert store.holder(record(2).identity) == store.folder / "a.jsonl.xz"


def test_theory_records_survive_the_check_of_their_name(tmp_path: Path) -> None:
    """Numbers that JSON writes otherwise than Python: tuples, keys that are numbers, NaN, whole floats."""
    odd = Record("theory", {"ranks": (1, 2.0), "by": {1: 0.5}, "none": float("nan"), "small": 1e-17})
    Store(tmp_path).put(odd)
    assert [each.identity for each in Store(tmp_path)] == [odd.identity]
