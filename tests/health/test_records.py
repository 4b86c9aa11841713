import os
import time
from pathlib import Path

import pytest
import torch
from filelock import FileLock
from safetensors.torch import save_file

from colarepro.files import ASIDE
from colarepro.fleet.fleet import STATE
from colarepro.health import check_records
from colarepro.health.asides import STALE_AFTER
from colarepro.results import Record, Store


def record(seed: int) -> Record:
    return Record("llm", {"task": "rte", "seed": seed}, scores={"accuracy": 0.5})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path)
    for seed in (1, 2, 3):
        store.put(record(seed))
    return store


def files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def states(store: Store, repair: bool = False) -> list[str]:
    """States of all findings but the count of whole records."""
    before = files(store.folder)
    found = check_records(store.folder, repair)
    if not repair:
        assert files(store.folder) == before
    for finding in found:
        assert finding.said.endswith(".")
        assert "\n" not in finding.said
    return [finding.state for finding in found[1:]]


def old(path: Path, seconds: float = 2 * STALE_AFTER) -> Path:
    for each in (path, *path.rglob("*")):
        os.utime(each, (time.time() - seconds,) * 2)
    return path


def test_a_sound_store_is_fine_and_left_alone(store: Store) -> None:
    before = files(store.folder)
    assert states(store, repair=True) == []
    assert check_records(store.folder)[0].said == f"3 whole records in {store.folder}."
    assert files(store.folder) == before


def test_a_folder_that_is_not_there_is_no_error_and_is_not_made(tmp_path: Path) -> None:
    assert [finding.state for finding in check_records(tmp_path / "none", repair=True)] == ["note"]
    assert not list(tmp_path.iterdir())


def test_torn_records_are_set_aside_and_performed_again(store: Store) -> None:
    path = store.path("llm", record(2).config)
    path.write_text("torn")
    assert states(store) == ["wrong"]
    assert states(store, repair=True) == ["repaired"]
    assert states(store) == []
    assert (store.folder / "damaged" / path.name).read_text() == "torn"
    assert store.get("llm", record(2).config) is None
    path.write_text("torn again")
    assert states(store, repair=True) == ["repaired"]
    assert {each.read_text() for each in (store.folder / "damaged").iterdir()} == {"torn", "torn again"}
    store.put(record(2))
    assert len(list(store)) == 3


def test_what_only_a_person_can_decide_is_not_touched(store: Store) -> None:
    """A record under another's name, copies that differ, a cut archive, a folder in a record's place."""
    store.pack(store.folder / "a.jsonl.xz")
    archive = store.folder / "a.jsonl.xz"
    archive.write_bytes(archive.read_bytes()[:-9])
    store.path("llm", record(1).config).write_text(record(4).to_json())
    (store.folder / "copy").mkdir()
    copy = store.folder / "copy" / store.path("llm", record(2).config).name
    copy.write_text(record(2).to_json().replace("0.5", "0.75"))
    store.path("llm", record(3).config).unlink()
    store.path("llm", record(3).config).mkdir()
    before = files(store.folder)
    assert states(store) == 4 * ["wrong"]
    assert states(store, repair=True) == 4 * ["wrong"]
    assert files(store.folder) == before


@pytest.mark.parametrize("place", [".", "models", "unfinished/0123456789abcdef"])
def test_stale_asides_are_removed_and_fresh_ones_are_not(store: Store, place: str) -> None:
    folder = store.folder / place
    (folder / f"{ASIDE}folder" / f"{ASIDE}inner").mkdir(parents=True)
    (folder / f"{ASIDE}folder" / "weights").write_text("x")
    (folder / f"{ASIDE}file.json").write_text('{"kind"')
    asides = sorted(folder.glob(f"{ASIDE}*"))
    unfinished = ["note"] * place.startswith("unfinished")
    assert states(store, repair=True) == ["note", "note", *unfinished]
    assert all(aside.exists() for aside in asides)
    for aside in asides:
        old(aside)
    os.utime(asides[1] / "weights")  # its writer lives
    assert states(store) == ["wrong", "note", *unfinished]
    assert states(store, repair=True) == ["repaired", "note", *unfinished]
    assert [aside.exists() for aside in asides] == [False, True]
    old(asides[1])
    assert states(store, repair=True) == ["repaired", *unfinished]
    assert not asides[1].exists()


def test_only_a_lock_that_nobody_holds_is_removed(store: Store) -> None:
    (store.folder / "unfinished").mkdir()
    held, orphan = (store.folder / "unfinished" / f"{name}.lock" for name in ("0" * 16, "1" * 16))
    orphan.touch()
    with FileLock(held):
        assert states(store) == ["note", "wrong"]
        assert states(store, repair=True) == ["note", "repaired"]
        assert held.exists()
    assert not orphan.exists()


def test_unfinished_runs_are_named_with_their_last_checkpoint(store: Store) -> None:
    names = "0" * 16, "1" * 16, "2" * 16, record(1).identity
    for name, steps in zip(names, ((8, 16), (), (), (4,)), strict=True):
        store.unfinished(name).mkdir(parents=True)
        for step in steps:
            (store.unfinished(name) / f"checkpoint-{step}").mkdir()
    state(store.unfinished("2" * 16), 32)  # on a GPU, a run alone is a fleet of one
    said = {finding.said for finding in check_records(store.folder, repair=True)[1:]}
    assert said == {
        f"The run {'0' * 16} is unfinished; asked again, it goes on from step 16.",
        f"The run {'1' * 16} is unfinished; asked again, it begins anew.",
        f"The run {'2' * 16} is unfinished; asked again, it goes on from step 32.",
        f"The run {record(1).identity} is unfinished; it has a record, too.",
    }
    assert all(store.unfinished(name).exists() for name in names)


def state(folder: Path, steps: int) -> None:
    """A fleet's, as it saves it."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file({"best": torch.zeros(2)}, folder / STATE, metadata={"steps": str(steps)})


def test_only_a_fleet_that_nobody_changed_for_a_day_is_removed(store: Store) -> None:
    abandoned, recent, empty = (store.unfinished(f"fleet-{name * 16}") for name in "012")
    for folder in (abandoned, recent):
        state(folder, 40)
    empty.mkdir()
    old(abandoned, 25 * 3600)
    old(recent, 23 * 3600)
    assert states(store) == ["wrong", "note", "note"]
    then = "asked again for the same runs together,"
    said = [finding.said for finding in check_records(store.folder, repair=True)[1:]]
    assert said == [
        f"{abandoned}, a fleet's fleet.safetensors, was last changed more than a day ago and was removed.",
        f"The fleet {recent.name} is unfinished, or under way; {then} it goes on from step 40.",
        f"The fleet {empty.name} is unfinished, or under way; {then} it begins anew.",
    ]
    assert [folder.exists() for folder in (abandoned, recent, empty)] == [False, True, True]


def test_a_state_that_cannot_be_read_is_none(store: Store) -> None:
    store.unfinished("0" * 16).mkdir(parents=True)
    (store.unfinished("0" * 16) / STATE).write_text("torn")
    assert check_records(store.folder)[1].said.endswith("asked again, it begins anew.")
