"""What a model in a local folder is called."""

import hashlib
from pathlib import Path

from colarepro.errors import ColaError
from colarepro.files import sha256_once

FILES = ("config.json", "tokenizer*.json", "*.safetensors", "*.bin")
"""What makes a model what it is."""


def folder_name(folder: Path) -> str:
    """The folder's own name and eight hex digits over its files: two models may both lie in a ``checkpoint-500``.

    Raises `ColaError` if a file cannot be read.
    """
    total = hashlib.sha256()
    for path in sorted({path for pattern in FILES for path in folder.glob(pattern)}):
        try:
            total.update(f"{path.name} {sha256_once(path)}\n".encode())
        except OSError as error:
            raise ColaError(f"The model's file {path} could not be read: {error.strerror}.") from error
    return f"{folder.resolve().name}@{total.hexdigest()[:8]}"
