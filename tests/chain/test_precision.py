"""Merging is in full precision, whatever a training script has switched on."""

from collections.abc import Callable, Iterator

import pytest
import torch

from colarepro.chain.target import full_precision


def by_the_old_api() -> None:
    torch.set_float32_matmul_precision("high")


def by_the_new_api() -> None:
    torch.backends.fp32_precision = "tf32"


def state() -> tuple[str, str, str]:
    cuda, cpu = torch.backends.cuda.matmul, torch.backends.mkldnn.matmul
    return torch.backends.fp32_precision, cuda.fp32_precision, cpu.fp32_precision


@pytest.fixture
def _back() -> Iterator[None]:
    before = state()
    yield
    torch.backends.fp32_precision, torch.backends.cuda.matmul.fp32_precision = before[:2]
    torch.backends.mkldnn.matmul.fp32_precision = before[2]


@pytest.mark.usefixtures("_back")
@pytest.mark.parametrize("switch_on", [by_the_old_api, by_the_new_api])
def test_tf32_is_off_within_and_on_again_after(switch_on: Callable[[], None]) -> None:
    switch_on()
    before = state()
    assert before[1:] == ("tf32", "tf32")
    with full_precision("cpu"):
        assert state()[1:] == ("ieee", "ieee")
    assert state() == before
