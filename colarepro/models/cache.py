"""Where models live in the cache."""

from pathlib import Path

from colarepro.files import cache_folder


def models_folder() -> Path:
    """Where built and downloaded models live; ``COLAREPRO_CACHE`` moves it."""
    return cache_folder() / "models"
