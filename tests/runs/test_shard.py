"""What a rank holds of a sharded run."""

from pathlib import Path
from typing import Any

import torch

from colarepro.methods import Adapter
from colarepro.models import load
from colarepro.runs import ranks
from colarepro.runs.shard import shard
from tests.ranked import on_ranks


def test_frozen_weights_are_halved_and_the_adapter_is_whole(untrained: str, tmp_path: Path) -> None:
    def adapted() -> Any:
        return Adapter().attach(load(untrained).model)

    def work() -> tuple[int, dict[str, torch.Size], bool]:
        model = adapted()
        shard(model, ranks.join("cpu"))
        frozen = [parameter for parameter in model.parameters() if not parameter.requires_grad]
        trained = {name: parameter.shape for name, parameter in model.named_parameters() if parameter.requires_grad}
        plain = all(type(parameter.data) is torch.Tensor for parameter in model.parameters() if parameter.requires_grad)
        return sum(parameter.to_local().numel() for parameter in frozen), trained, plain

    model = adapted()
    frozen = sum(parameter.numel() for parameter in model.parameters() if not parameter.requires_grad)
    held = on_ranks(2, tmp_path, work)
    assert sum(own for own, _, _ in held) == frozen
    for own, trained, plain in held:
        assert abs(own - frozen / 2) < 0.01 * frozen
        assert plain
        assert trained == {name: one.shape for name, one in model.named_parameters() if one.requires_grad}
