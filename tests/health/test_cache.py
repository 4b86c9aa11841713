import shutil
import subprocess
from pathlib import Path

import pytest

from colarepro.errors import ColaError
from colarepro.health import cache, check_cache
from colarepro.models import smollm2, tiny
from colarepro.models.cache import SUMS


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv("COLAREPRO_CACHE", str(tmp_path))
    return tmp_path


@pytest.fixture
def tiny_there(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tiny model after one step, put into the cache by the usual way."""
    build = tiny.build
    monkeypatch.setattr(tiny, "build", lambda into: build(into, steps=1))
    return tiny.folder()


def lay_smollm2() -> Path:
    """Files of the right names, which nobody could load."""
    smollm2.place().mkdir(parents=True)
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        (smollm2.place() / name).write_text("")
    return smollm2.place()


def states() -> dict[str, str]:
    return {finding.said.split(" ")[0].rstrip(":"): finding.state for finding in check_cache()}


def test_an_empty_cache_is_no_error_and_nothing_is_fetched(folder: Path) -> None:
    assert states() == {"smollm2-135m": "note", "tiny": "note"}
    assert not list(folder.iterdir())


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_one_changed_bit_is_found(tiny_there: Path, name: str) -> None:
    assert states()["tiny"] == "fine"
    data = bytearray((tiny_there / name).read_bytes())
    data[len(data) // 2] ^= 1
    (tiny_there / name).write_bytes(data)
    (finding,) = (finding for finding in check_cache() if finding.said.startswith("tiny"))
    assert finding.state == "wrong"
    assert finding.said.startswith(f"tiny: {name} changed since it was made")


def test_a_lost_file_is_found_and_an_added_one_is_nobodys_business(tiny_there: Path) -> None:
    (tiny_there / "notes.txt").write_text("")
    assert states()["tiny"] == "fine"
    (tiny_there / "config.json").unlink()
    assert states()["tiny"] == "wrong"


@pytest.mark.parametrize("lost", ["config.json", "model.safetensors", "tokenizer.json"])
def test_digests_of_half_a_model_do_not_make_it_whole(tiny_there: Path, lost: str) -> None:
    (tiny_there / lost).unlink()
    sums = (tiny_there / SUMS).read_text().splitlines(keepends=True)
    (tiny_there / SUMS).write_text("".join(line for line in sums if lost not in line))
    (finding,) = (finding for finding in check_cache() if finding.said.startswith("tiny"))
    assert finding.state == "wrong"
    assert finding.said.startswith(f"tiny is there without {lost.replace('model', '*')}; delete {tiny_there}")


def test_a_cache_from_before_digests_is_a_note(tiny_there: Path) -> None:
    (tiny_there / SUMS).unlink()
    assert states()["tiny"] == "note"


def test_the_weights_are_held_to_the_digest_of_our_records(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole weights and others; the real ones take gigabytes of memory, so loading is made up."""

    class Loaded:
        digest = smollm2.WEIGHTS

    lay_smollm2()
    monkeypatch.setattr(cache, "load", lambda _: Loaded)
    assert states()["smollm2-135m"] == "note"
    (smollm2.place() / SUMS).write_text("")
    assert states()["smollm2-135m"] == "fine"
    Loaded.digest = "0" * 64
    assert states()["smollm2-135m"] == "wrong"


def test_a_model_that_cannot_be_loaded_is_wrong() -> None:
    lay_smollm2()
    assert states()["smollm2-135m"] == "wrong"


def test_sums_are_those_of_sha256sum(tiny_there: Path) -> None:
    if shutil.which("sha256sum") is None:
        pytest.skip("there is no sha256sum")
    subprocess.run(["sha256sum", "--check", "--strict", SUMS], cwd=tiny_there, check=True, capture_output=True)


def test_an_unreadable_model_says_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: str) -> None:
        raise ColaError("Model smollm2-135m could not be loaded: a safetensors file is broken.")

    lay_smollm2()
    monkeypatch.setattr(cache, "load", refuse)
    (finding,) = (finding for finding in check_cache() if finding.state == "wrong")
    assert finding.said.count(".") == 1
    assert finding.said.endswith(".")
