"""cuDNN's attention stays out of training, and comes back after it."""

import dataclasses
from contextlib import suppress
from pathlib import Path

import pytest
from torch.backends import cuda
from transformers import Trainer

from colarepro.models.attention import without_cudnn_attention
from colarepro.runs import RunConfig, perform


@pytest.mark.parametrize("before", [True, False])
def test_it_is_as_before_after_the_block(before: bool) -> None:
    usual = cuda.cudnn_sdp_enabled()
    try:
        cuda.enable_cudnn_sdp(before)
        with suppress(KeyError), without_cudnn_attention():
            assert not cuda.cudnn_sdp_enabled()
            raise KeyError
        assert cuda.cudnn_sdp_enabled() == before
    finally:
        cuda.enable_cudnn_sdp(usual)


def test_every_step_of_a_run_goes_without(untrained: str, miniature: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bool] = []
    original = Trainer.training_step

    def step(self: Trainer, *arguments: object) -> object:
        seen.append(cuda.cudnn_sdp_enabled())
        return original(self, *arguments)

    monkeypatch.setattr(Trainer, "training_step", step)
    config = RunConfig(task="rte", model=untrained, data_dir=miniature, max_steps=2, dev_examples=8, test_examples=8)
    perform(dataclasses.replace(config, method="lora", train_examples=16))
    assert seen == [False, False]
