"""Many runs from one small YAML file: a base configuration and the axes along which it varies."""

import dataclasses
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from colarepro.errors import ColaError, quoted
from colarepro.results.record import identity_of
from colarepro.runs.config import RunConfig, config_from
from colarepro.yaml_file import read_yaml

FOLDER = Path(__file__).parents[1] / "sweeps"
MOST_RUNS = 100_000
FIELDS = tuple(entry.name for entry in dataclasses.fields(RunConfig))


@dataclass(frozen=True)
class Sweep:
    """A sweep's name, what it is for, and its runs, each question once, in the order of the file."""

    name: str
    description: str
    configs: tuple[RunConfig, ...]


def known_sweeps() -> list[str]:
    """Names of the sweeps that the package ships."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def load_sweep(name_or_path: str, changes: Mapping[str, Any] | None = None) -> Sweep:
    """A shipped sweep by its name, or anybody's by the path of its YAML file.

    The file holds ``base``, fields of a `RunConfig`, and ``axes``; the runs are all combinations of the axes' values.
    A value is that of the field with the axis's name, or, where it is a mapping, several fields at once; the axis's
    name is then free. ``changes`` replaces fields of the base and whole axes of that name (``seed``, ``task``).

    Raises `ColaError` for an unknown name, or a file that does not describe runs.
    """
    path = Path(name_or_path)
    if path.suffix not in (".yaml", ".yml"):
        if name_or_path not in known_sweeps():
            raise ColaError(f"Unknown sweep '{name_or_path}'; expected {', '.join(known_sweeps())}, or a YAML file.")
        path = FOLDER / f"{name_or_path}.yaml"
    content = read_yaml(path)
    if not isinstance(content, dict) or not set(content) <= {"description", "base", "axes"}:
        raise ColaError(f"{path}: expected a mapping with description, base and axes, and nothing else.")
    if not isinstance(content.get("description", ""), str):
        raise ColaError(f"{path}: the description is {quoted(content['description'])}; expected text.")
    base, axes = content.get("base") or {}, content.get("axes") or {}
    if not isinstance(base, dict) or not isinstance(axes, dict):
        raise ColaError(f"{path}: base and axes must be mappings.")
    for name, value in (changes or {}).items():
        axis = list(value) if isinstance(value, Sequence) and not isinstance(value, str) else [value]
        base = {key: kept for key, kept in base.items() if key != name}
        axes = axes | {name: axis}
    steps = [_alternatives(name, values, path) for name, values in axes.items()]
    count = math.prod(map(len, steps))
    if count > MOST_RUNS:
        raise ColaError(f"{path}: the axes make {count} runs; expected at most {MOST_RUNS}.")
    configs = []
    for chosen in itertools.product(*steps):
        fields = dict(base)
        for part in chosen:
            fields |= part
        configs.append(config_from(fields, str(path)))
    return Sweep(path.stem, content.get("description", ""), _distinct(configs))


def joined(sweeps: Sequence[Sweep]) -> Sweep:
    """Several sweeps as one, whose runs are those of the first, then of the second that it does not have, and so on."""
    return Sweep(
        ", ".join(sweep.name for sweep in sweeps),
        " ".join(sweep.description for sweep in sweeps),
        _distinct([config for sweep in sweeps for config in sweep.configs]),
    )


def _distinct(configs: Iterable[RunConfig]) -> tuple[RunConfig, ...]:
    """Each question once, in order."""
    distinct: dict[str, RunConfig] = {}
    for config in configs:
        distinct.setdefault(identity_of("llm", config.question()), config)
    return tuple(distinct.values())


def _alternatives(name: str, values: Any, path: Path) -> list[dict[str, Any]]:
    if not isinstance(values, list) or not values:
        raise ColaError(f"{path}: the axis {name} must be a list of at least one value.")
    alternatives = []
    for value in values:
        if name in FIELDS:
            alternatives.append({name: value})
        elif isinstance(value, dict):
            alternatives.append(value)
        else:
            raise ColaError(f"{path}: the axis {name} is no field of a run, so its values must be mappings.")
    return alternatives
