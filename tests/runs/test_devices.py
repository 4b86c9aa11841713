"""Devices by a user's word, and one GPU for a process."""

import os

import pytest
import torch

from colarepro.errors import ColaError
from colarepro.runs.devices import confine, devices


@pytest.mark.parametrize(
    ("word", "found"),
    [("auto", ["cuda:0", "cuda:1"]), ("cuda", ["cuda:0"]), ("cuda:1", ["cuda:1"]), ("cpu", ["cpu"])],
)
def test_a_word_names_devices(word: str, found: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert devices(word) == found


@pytest.mark.parametrize("word", ["cuda:2", "gpu", "meta:x"])
def test_what_is_not_there_is_refused(word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(ColaError, match=word):
        devices(word)


@pytest.mark.parametrize(("seen", "left"), [(None, "1"), ("4,6", "6"), ("GPU-a,GPU-b", "GPU-b")])
def test_a_process_is_confined_to_its_gpu(seen: str | None, left: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", seen or "")
    assert confine("cuda:1") == "cuda:0"
    assert os.environ["CUDA_VISIBLE_DEVICES"] == left
    assert confine("cpu") == "cpu"
    assert os.environ["CUDA_VISIBLE_DEVICES"] == left
