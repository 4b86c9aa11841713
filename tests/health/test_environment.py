import errno
import importlib.metadata
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest

from colarepro.health import check_environment, environment


def wrong(folder: Path) -> list[str]:
    return [finding.said for finding in check_environment(folder) if finding.state == "wrong"]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLAREPRO_CACHE", str(tmp_path / "cache"))


def test_where_the_tests_run_all_is_fine_and_nothing_is_made(tmp_path: Path) -> None:
    assert wrong(tmp_path / "runs" / "llm") == []
    assert not list(tmp_path.iterdir())


def test_versions_out_of_range_and_missing_packages_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = ["rich>=1", "torch<2", "none-such>=1", 'cvxpy>=99; extra == "dev"', 'rich>99; python_version < "3"']
    monkeypatch.setattr(importlib.metadata, "requires", lambda _: wanted)
    assert wrong(tmp_path) == [
        f"torch is {importlib.metadata.version('torch')}; expected <2.",
        "none-such is not installed; expected none-such>=1.",
    ]


def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = type(shutil.disk_usage(tmp_path))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(2e9, 1.9e9, 1e8))
    assert (
        wrong(tmp_path)[0]
        == f"The records folder {tmp_path} can be written to and has 0.1 GB free; expected at least 1."
    )


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is root may write everywhere, so the system's answer is made up."""

    def refuse(**_: Any) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    assert wrong(tmp_path)[0] == f"The records folder {tmp_path} cannot be written to: Read-only file system."


def test_a_file_in_the_folders_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert wrong(tmp_path / "file" / "runs") == [
        f"The records folder {tmp_path / 'file' / 'runs'} cannot be written to: Not a directory."
    ]


def test_every_device_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Device:
        name, total_memory = "NVIDIA H200", 150 * 2**30

    monkeypatch.setattr(environment.torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(environment.torch.cuda, "get_device_properties", lambda _: Device)
    (said,) = (finding.said for finding in check_environment(tmp_path) if " sees " in finding.said)
    assert said.endswith(", cuda:0 (NVIDIA H200, 150 GiB), cuda:1 (NVIDIA H200, 150 GiB).")
