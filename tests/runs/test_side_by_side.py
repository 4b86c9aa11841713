"""Processes that work side by side."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from threadpoolctl import threadpool_info

from colarepro.runs.side_by_side import side_by_side


def threads(item: int, device: str) -> tuple[int, str, int]:
    """Of torch, and the most of any other library."""
    return item, device, max(torch.get_num_threads(), *(pool["num_threads"] for pool in threadpool_info()))


def test_every_process_has_one_thread() -> None:
    """As many as there are cores would stand in each other's way, numpy's and scipy's too."""
    assert sorted(side_by_side(threads, [1, 2, 3], ["cpu"], 2)) == [(1, "cpu", 1), (2, "cpu", 1), (3, "cpu", 1)]


def leave_a_mark(place: Path, device: str) -> None:
    place.touch()


def test_the_first_begins_before_the_last_is_known(tmp_path: Path) -> None:
    def items() -> Iterator[Path]:
        yield tmp_path / "first"
        while not (tmp_path / "first").exists():
            time.sleep(0.01)
        yield tmp_path / "last"

    assert len(list(side_by_side(leave_a_mark, items(), ["cpu"], 1))) == 2


def stay(_: int, device: str) -> None:
    time.sleep(600)


def test_no_process_outlives_what_cannot_be_known() -> None:
    def items() -> Iterator[int]:
        yield 0
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        list(side_by_side(stay, items(), ["cpu"], 1))
