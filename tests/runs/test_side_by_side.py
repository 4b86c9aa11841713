"""Processes that work side by side."""

import torch
from threadpoolctl import threadpool_info

from colarepro.runs.side_by_side import side_by_side


def threads(item: int, device: str) -> tuple[int, str, int]:
    """Of torch, and the most of any other library."""
    return item, device, max(torch.get_num_threads(), *(pool["num_threads"] for pool in threadpool_info()))


def test_every_process_has_one_thread() -> None:
    """As many as there are cores would stand in each other's way, numpy's and scipy's too."""
    assert sorted(side_by_side(threads, [1, 2, 3], ["cpu"], 2)) == [(1, "cpu", 1), (2, "cpu", 1), (3, "cpu", 1)]
