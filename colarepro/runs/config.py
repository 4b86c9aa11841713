"""Everything that a fine-tuning run is asked."""

import dataclasses
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ValidationError

from colarepro.chain import Schedule
from colarepro.errors import ColaError, quoted
from colarepro.files import can_be_a_path
from colarepro.methods import OPTIONAL, Adapter, method
from colarepro.models.folder import folder_name
from colarepro.tasks import Protocol, load_task, origin

LIMITS: Mapping[str, tuple[int, int]] = {
    "epochs": (1, 1_000),
    "batch_size": (1, 100_000),
    "accumulation": (1, 100_000),
    "max_steps": (1, 1_000_000),
    "max_length": (1, 1_000_000),
    "train_examples": (1, 10_000_000),
    "dev_examples": (1, 10_000_000),
    "test_examples": (1, 10_000_000),
    "demonstrations": (0, 1_000_000),
    "seed": (0, 2**32 - 1),
    "data_seed": (0, 2**32 - 1),
}
"""Least and most of what a run counts, far beyond use: a slip is refused before anything is made of it. Seeds are what
NumPy's generator takes."""
HIGHEST_RANK = 16_384  # the width of the widest published models; above a layer's width, rank buys nothing


@dataclass(frozen=True)
class RunConfig:
    """One fine-tuning run. Defaults are the paper's protocol (arXiv 2401.04151, section 5) on MeZO's draw."""

    task: str
    """sst2, wsc, cb, wic, boolq, multirc, rte, or the path of a task's YAML file."""
    method: str = "cola"
    """full, lora, cola; a control: lora-restart, lora-rank-sum, relora, asym-lora, rac-lora; or without training by
    gradients: zero-shot, in-context, linear-probe."""
    model: str = "smollm2-135m"
    """smollm2-135m, tiny, a folder, or a hub id such as facebook/opt-1.3b."""
    data_dir: Path | None = None
    """Folder with the tasks in the official layout; without it they come from the hub, and a task of yours that names
    no hub from beside its YAML file."""
    learning_rate: float = 5e-4
    """Peak learning rate of AdamW. The paper's grid: 1e-3, 8e-4, 5e-4, 1e-4, 5e-5."""
    epochs: int = 5
    batch_size: int = 8
    """Examples in one optimizer step."""
    accumulation: int = 1
    """Forward passes that share an optimizer step's examples, for want of memory; it must divide batch_size. A record
    does not keep it: a run computes the same up to rounding and what dropout draws."""
    seed: int = 0
    """Of initialization, data order and dropout."""
    data_seed: int = 0
    """Of the draw of train, dev and test examples."""
    protocol: Protocol = "paper"
    """How examples are drawn; see colarepro/tasks/protocol.py."""
    train_examples: int = 1000
    dev_examples: int = 500
    test_examples: int = 1000
    max_length: int = 2048
    """Tokens; longer prompts lose their beginning."""
    max_steps: int | None = None
    """Stop after so many optimizer steps instead of after the epochs."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Of the frozen weights and of the arithmetic; adapters are float32 always."""
    demonstrations: int = 32
    """Solved training examples before every prompt, with in-context."""
    adapter: Adapter = field(default_factory=Adapter)
    chain: Schedule = field(default_factory=Schedule)

    def __post_init__(self) -> None:
        for name in ("task", "model", "data_dir"):
            if not can_be_a_path(str(getattr(self, name))):
                raise ColaError(f"{name} is {quoted(str(getattr(self, name)))}, which no file can be called.")
        for name, (least, most) in LIMITS.items():
            value = getattr(self, name)
            if value is not None and not least <= value <= most:
                raise ColaError(f"{name} is {quoted(value)}; expected {least} to {most}.")
        if not (math.isfinite(self.learning_rate) and self.learning_rate > 0):
            raise ColaError(f"The learning rate is {self.learning_rate}; expected a positive number.")
        if self.batch_size % self.accumulation:
            raise ColaError(
                f"An accumulation of {self.accumulation} does not divide the batch size, {self.batch_size}; expected "
                "one that does."
            )
        for rank in (self.adapter.rank, *self.chain.ranks):
            if rank > HIGHEST_RANK:
                raise ColaError(f"The rank of a link is {quoted(rank)}; expected at most {HIGHEST_RANK}.")
        if not math.isfinite(self.adapter.alpha) or not 0 <= self.adapter.dropout < 1:
            raise ColaError(
                f"The adapter's alpha is {self.adapter.alpha} and its dropout {self.adapter.dropout}; expected a "
                "finite alpha and a share from 0 to below 1."
            )

    def question(self) -> dict[str, Any]:
        """The configuration as a record keeps it: JSON-plain, and without what a method does not use or a machine
        decides: where data or a model lies becomes which data or model it is, so that another one is another question.
        Raises `ColaError` if they cannot be read."""
        asked = dataclasses.asdict(self)
        del asked["data_dir"]
        del asked["accumulation"]
        asked["data"] = origin(load_task(self.task), self.data_dir)
        asked["model"] = folder_name(Path(self.model)) if os.path.isdir(self.model) else self.model
        asked["task"] = Path(self.task).stem
        for name in OPTIONAL.difference(method(self.method).reads):
            del asked[name]
        plain: dict[str, Any] = json.loads(json.dumps(asked))  # lists for tuples, as a record has them
        return plain


class _Checked(BaseModel, extra="forbid"):
    """Pydantic's check of a mapping; that unknown keys are refused holds for the dataclasses within, too."""

    run: RunConfig


def config_from(values: Mapping[str, Any], source: str) -> RunConfig:
    """The configuration that a YAML file's mapping describes; raises `ColaError` that names ``source`` and the key."""
    try:
        return _Checked(run=values).run  # type: ignore[arg-type]
    except (ValidationError, RecursionError) as error:
        if isinstance(error, RecursionError):
            raise ColaError(f"{source}: a value contains itself.") from None
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"][1:])
        said = {"missing": "is missing", "unexpected_keyword_argument": "is no known key"}.get(first["type"])
        if said is None:
            said = first["msg"].removeprefix("Value error, ").rstrip(".")
            said = f"is {quoted(first['input'])}; {said[0].lower()}{said[1:]}"
        where = f"the key {key:.80}" if key else "the content"
        raise ColaError(f"{source}: {where} {said}.") from None


def check_tracker(name: str) -> None:
    """Raises `ColaError` unless ``name`` is none, all, or a tracker that transformers knows and finds installed."""
    from transformers.integrations import integration_utils

    known = integration_utils.INTEGRATION_TO_CALLBACK
    installed = integration_utils.get_available_reporting_integrations()
    if name in ("none", "all", *installed):
        return
    if name in known:
        raise ColaError(f"The tracker '{name}' is not installed; transformers finds {', '.join(installed) or 'none'}.")
    raise ColaError(f"Unknown tracker '{name}'; expected none, all, or one of {', '.join(known)}.")
