"""One run, one record: what was asked, what came out, and what made it."""

import dataclasses
import functools
import hashlib
import importlib.metadata
import json
import math
import platform
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from colarepro import __version__
from colarepro.errors import ColaError

Curve = list[Any]  # numbers, or one list of numbers a seed


@dataclass(frozen=True)
class Record:
    """The result of one run.

    ``kind`` is the half that it belongs to, or ``anatomy`` for a run that was watched (`colarepro.anatomy`).
    ``config`` is everything that was asked, fully resolved and JSON-plain; its digest is the run's identity, so the
    same question has the same name wherever it is put. ``scores`` are final numbers by name, ``curves`` sequences by
    name (``step`` is the x-axis of the others; in the theory half a curve holds one list a seed), ``predictions``
    per-example answers by split, ``costs`` numbers by name with the unit in the name (``seconds_train``), ``digests``
    of data and weights by name.
    A run that failed or diverged is a record too: ``reason`` says why in one sentence.
    """

    kind: Literal["llm", "theory", "anatomy"]
    config: dict[str, Any]
    status: Literal["done", "diverged", "failed"] = "done"
    reason: str = ""
    scores: dict[str, float] = field(default_factory=dict)
    curves: dict[str, Curve] = field(default_factory=dict)
    predictions: dict[str, list[int]] = field(default_factory=dict)
    costs: dict[str, float] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def identity(self) -> str:
        """Sixteen hex digits that name the question (kind and config), not the answer."""
        return identity_of(self.kind, self.config)

    def to_json(self) -> str:
        """The record as one line of JSON.

        Numbers that are not finite become ``null``, which JSON can hold; predictions become a string where every one
        is a single digit, as ``"0110"``.
        """
        plain = _plain(dataclasses.asdict(self))
        plain["predictions"] = {split: _digits(labels) for split, labels in plain["predictions"].items()}
        return json.dumps(plain, allow_nan=False, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes, source: str) -> "Record":
        """Read a record; raises `ColaError` naming ``source`` if the text is not a whole record."""
        try:
            record = cls(**json.loads(text if isinstance(text, str) else text.decode()))
            _check(record)
            labels = {split: _labels(digits) for split, digits in record.predictions.items()}
            return dataclasses.replace(record, predictions=labels)
        except (ValueError, TypeError, RecursionError) as error:
            raise ColaError(f"{source} is not a whole record ({error!s:.200}).") from error


def _check(record: Record) -> None:
    """Raises `ValueError` unless the fields are of their types, as far as it is cheap to see."""
    for entry in dataclasses.fields(record):
        value = getattr(record, entry.name)
        allowed = get_args(entry.type) if entry.name in ("kind", "status") else ()
        if allowed and value not in allowed:
            raise ValueError(f"its {entry.name} is {value!r:.40}")
        if not allowed and not isinstance(value, str if entry.name == "reason" else dict):
            raise ValueError(f"its {entry.name} is {value!r:.40}")


def identity_of(kind: str, config: dict[str, Any]) -> str:
    """The identity that a record with this kind and config has."""
    canonical = json.dumps([kind, _whole(_plain(config))], sort_keys=True, allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def _whole(value: Any) -> Any:
    """Whole floats as integers, so that 16 and 16.0 are the same question."""
    if isinstance(value, dict):
        return {key: _whole(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_whole(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _digits(labels: list[int]) -> str | list[int]:
    short = all(type(label) is int and 0 <= label < 10 for label in labels)
    return "".join(map(str, labels)) if short else labels


def _labels(digits: str | list[int]) -> list[int]:
    if isinstance(digits, list):
        return digits
    if not isinstance(digits, str) or not (digits == "" or (digits.isascii() and digits.isdigit())):
        raise ValueError(f"its predictions are {digits!r:.40}")
    return [int(digit) for digit in digits]


@functools.cache
def _commit() -> str:
    """The checkout's commit, with ``+`` if the tree differs from it; empty outside a checkout."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists() or shutil.which("git") is None:
        return ""

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", "-C", str(root), *words], capture_output=True, text=True, check=False
        ).stdout.strip()

    return git("rev-parse", "--verify", "HEAD") + ("+" if git("status", "--porcelain", "--", "colarepro") else "")


@functools.cache
def _versions() -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in ("transformers", "peft")}


def environment(device: str) -> dict[str, str]:
    """Versions, commit and hardware of this process; ``device`` as torch names it, such as ``cuda:0``."""
    import torch

    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else platform.machine()
    return {
        "colarepro": __version__,
        "commit": _commit(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        **_versions(),
        "device": f"{device} ({name})",
    }
