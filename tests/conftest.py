"""Settings of the whole suite, and what runs are made of: a data folder, and an untrained model so that a run takes a
second."""

import os
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"  # read on import; no test waits for a hub that may not answer

import pytest
import torch

from colarepro.models import tiny

# The models are so small that threads only wait for each other.
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Folder of the tiny model after two steps of its pre-training."""
    folder = tmp_path_factory.mktemp("untrained")
    tiny.build(folder, steps=2)
    return str(folder)


@pytest.fixture(scope="session")
def miniature() -> Path:
    """The committed miniature tasks."""
    return Path(__file__).parents[1] / "data" / "miniature"
