"""A data folder and an untrained tiny model, so that runs take a second."""

from pathlib import Path

import pytest

from colarepro.models import tiny


@pytest.fixture(scope="session")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Folder of the tiny model after two steps of its pre-training."""
    folder = tmp_path_factory.mktemp("untrained")
    tiny.build(folder, steps=2)
    return str(folder)


@pytest.fixture(scope="session")
def miniature() -> Path:
    """The committed miniature tasks."""
    return Path(__file__).parents[2] / "data" / "miniature"
