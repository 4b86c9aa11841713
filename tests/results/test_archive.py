import hashlib
from pathlib import Path

import pytest

import colarepro.results.archive
from colarepro.errors import ColaError
from colarepro.results import Record, Store


def record(seed: int, **more: object) -> Record:
    return Record(kind="llm", config={"task": "rte", "seed": seed}, **more)  # type: ignore[arg-type]


def packed(records: list[Record], archive: Path, workspace: Path) -> Store:
    """A store of these records in ``archive`` alone."""
    source = Store(workspace)
    for each in records:
        source.put(each)
    source.pack(archive)
    return Store(archive.parent)


def test_packed_records_are_read_like_single_ones(tmp_path: Path) -> None:
    records = [record(seed, scores={"accuracy": seed / 7}) for seed in range(20)]
    packed(records, tmp_path / "out" / "a" / "b.jsonl.xz", tmp_path / "in")
    store = Store(tmp_path / "out")
    assert list(store) == sorted(records, key=lambda each: each.identity)
    for each in records:
        assert store.get("llm", each.config) == each
        assert store.find(each.identity[:12]) == each
    assert store.get("llm", {"task": "rte", "seed": 20}) is None


def test_a_single_record_counts_before_a_packed_one(tmp_path: Path) -> None:
    store = packed([record(1), record(2)], tmp_path / "out" / "a.jsonl.xz", tmp_path / "in")
    again = record(1, scores={"accuracy": 0.9})
    store.put(again)
    assert store.get("llm", again.config) == again == store.find(again.identity)
    assert sorted(store, key=lambda each: each.config["seed"]) == [again, record(2)]


def test_a_long_lived_store_sees_an_archive_that_changed(tmp_path: Path) -> None:
    archive = tmp_path / "out" / "a.jsonl.xz"
    store = packed([record(1)], archive, tmp_path / "in")
    assert store.get("llm", record(2).config) is None
    packed([record(2)], archive, tmp_path / "more")
    assert store.get("llm", record(2).config) == record(2)
    assert store.get("llm", record(1).config) == record(1)


def test_many_questions_unpack_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = packed([record(seed) for seed in range(50)], tmp_path / "out" / "a.jsonl.xz", tmp_path / "in")
    unpacked, decompress = [], colarepro.results.archive._decompressed

    def counted(data: bytes) -> tuple[bytes, str]:
        unpacked.append(data)
        return decompress(data)

    monkeypatch.setattr(colarepro.results.archive, "_decompressed", counted)
    for seed in range(100):
        assert (Store(tmp_path / "out").get("llm", record(seed).config) is not None) == (seed < 50)
        assert (store.get("llm", record(seed).config) is not None) == (seed < 50)
    assert len(unpacked) == 1


def test_packing_does_not_depend_on_the_order_and_again_changes_nothing(tmp_path: Path) -> None:
    records = [record(seed, curves={"loss": [seed / 3, 1e-9 / 7]}) for seed in range(9)]
    first, second = tmp_path / "1" / "a.jsonl.xz", tmp_path / "2" / "a.jsonl.xz"
    packed(records, first, tmp_path / "in")
    for number, part in enumerate((records[5:], records[:5])):
        packed(part, second, tmp_path / f"in{number}")
    assert first.read_bytes() == second.read_bytes()
    Store(tmp_path / "in").pack(first)
    assert first.read_bytes() == second.read_bytes()


def test_packing_rounds_the_curves_of_language_models_and_nothing_else(tmp_path: Path) -> None:
    exact, short = 0.123456789012, 0.123457
    llm = record(1, scores={"accuracy": exact}, curves={"loss": [exact, None], "step": [1, 2]}, costs={"s": exact})
    theory = Record("theory", {"x": 1}, curves={"excess": [[exact], [exact / 3]]})
    store = packed([llm, theory], tmp_path / "out" / "a.jsonl.xz", tmp_path / "in")
    found = {each.kind: each for each in store}
    assert found["theory"] == theory
    assert found["llm"] == record(
        1, scores={"accuracy": exact}, curves={"loss": [short, None], "step": [1, 2]}, costs={"s": exact}
    )


@pytest.mark.parametrize(("name", "said"), [("a.json", r"ends in \.jsonl\.xz"), ("a.jsonl.xz", "no records to pack")])
def test_what_cannot_be_packed_is_refused(tmp_path: Path, name: str, said: str) -> None:
    with pytest.raises(ColaError, match=said):
        Store(tmp_path / "empty").pack(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_an_archive_that_cannot_be_read_is_not_replaced(tmp_path: Path) -> None:
    archive = tmp_path / "out" / "a.jsonl.xz"
    packed([record(1), record(2)], archive, tmp_path / "in")
    archive.write_bytes(archive.read_bytes()[:-20])
    before = hashlib.sha256(archive.read_bytes()).digest()
    with pytest.raises(ColaError, match=r"a\.jsonl\.xz is not whole"):
        Store(tmp_path / "in").pack(archive)
    assert hashlib.sha256(archive.read_bytes()).digest() == before


def test_records_come_from_archives_too_and_single_ones_count_before_those(tmp_path: Path) -> None:
    """As on the way from another machine, which sends its records packed."""
    store = packed([record(1), record(2)], tmp_path / "run" / "sent.jsonl.xz", tmp_path / "in")
    again = record(2, scores={"accuracy": 0.9})
    store.put(again)
    archive = tmp_path / "out" / "all.jsonl.xz"
    packed([record(2), record(3)], archive, tmp_path / "earlier")
    assert store.pack(archive) == (1, 3)
    assert sorted(Store(tmp_path / "out"), key=lambda each: each.config["seed"]) == [record(1), again, record(3)]
    assert store.pack(tmp_path / "run" / "sent.jsonl.xz") == (0, 2)
    for path in (tmp_path / "run").glob("*.json"):
        path.unlink()
    assert sorted(Store(tmp_path / "run"), key=lambda each: each.config["seed"]) == [record(1), again]
