"""What all contenders train on: one model, one length of prompts."""

import contextlib
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from colarepro.bench.shapes import SHAPES
from colarepro.chain import Schedule
from colarepro.errors import ColaError
from colarepro.runs import RunConfig

BATCH = 8
Dtype: TypeAlias = Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class Setting:
    """One model on one length."""

    shape: str
    length: int
    folder: Path
    device: str
    dtype: Dtype
    steps: int
    repeats: int
    batch: int = BATCH

    def __post_init__(self) -> None:
        if self.shape not in SHAPES:
            raise ColaError(f"Unknown shape '{self.shape}'; expected one of {', '.join(SHAPES)}.")

    @property
    def total_steps(self) -> int:
        """With the warm-up."""
        return max(5, self.steps // 2) + self.steps * self.repeats

    def config(self, links: int = 1) -> RunConfig:
        """The run that is trained: LoRA, or a chain of so many links."""
        return RunConfig(
            task=str(self.folder / "task.yaml"),
            method="lora" if links == 1 else "cola",
            chain=Schedule(length=links),
            model=str(self.folder / "model"),
            batch_size=self.batch,
            train_examples=self.batch * self.total_steps,
            dev_examples=BATCH,
            test_examples=BATCH,
            max_steps=self.total_steps,
            dtype=self.dtype,
        )

    def write(self) -> None:
        """A model with random weights, a tokenizer of one token a word, and a task of prompts of one length."""
        config = self.config()
        torch.manual_seed(0)
        with torch.device(self.device), contextlib.redirect_stderr(io.StringIO()):
            model = AutoModelForCausalLM.from_config(SHAPES[self.shape], dtype=getattr(torch, self.dtype))
            model.save_pretrained(config.model)
        del model
        words = ["<pad>", "Yes", "No", *(f"w{number}" for number in range(400))]
        core = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<pad>"))
        core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        PreTrainedTokenizerFast(tokenizer_object=core, pad_token="<pad>", eos_token="<pad>").save_pretrained(
            config.model
        )
        numbers = torch.randint(400, (config.train_examples + 2 * BATCH, self.length)).tolist()
        lines = [
            json.dumps({"text": " ".join(f"w{n}" for n in row), "label": ("a", "b")[i % 2]})
            for i, row in enumerate(numbers)
        ]
        (self.folder / "train.jsonl").write_text("\n".join(lines[:-BATCH]) + "\n")
        (self.folder / "validation.jsonl").write_text("\n".join(lines[-BATCH:]) + "\n")
        task = {
            "template": "{text} ",
            "verbalizers": ["Yes", "No"],
            "labels": ["a", "b"],
            "files": {"train": "train.jsonl", "validation": "validation.jsonl"},
        }
        Path(config.task).write_text(json.dumps(task))  # JSON is YAML
