"""Training speed, side by side in one process: ``python -m colarepro.bench --shapes opt-1.3b --lengths 64 256``.

(a) PEFT and transformers.Trainer with MeZO's loss, as one would write it; (b) PEFT in a plain loop with label rows;
(c) a run of ours; (d) a fleet of ours. All train rank 8 on q and v at batch 8, on the same prompts; base weights are
random, whose speed is that of the real ones.
"""

import contextlib
import dataclasses
import functools
import gc
import io
import itertools
import json
import math
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import torch
import tyro
from rich.console import Console
from rich.table import Table
from torch.nn.functional import cross_entropy
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    OPTConfig,
    PreTrainedConfig,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)
from transformers.utils import logging

from colarepro.chain import Schedule
from colarepro.errors import ColaError, exit_cleanly
from colarepro.fleet.fleet import Fleet
from colarepro.methods import method
from colarepro.models.candidates import candidate_batch, candidate_scores
from colarepro.runs import RunConfig, finetune, perform
from colarepro.runs.costs import peak_bytes, reset_peak
from colarepro.runs.devices import devices

SHAPES: dict[str, PreTrainedConfig] = {
    "opt-1.3b": OPTConfig(
        vocab_size=50272,
        hidden_size=2048,
        ffn_dim=8192,
        num_hidden_layers=24,
        num_attention_heads=32,
        max_position_embeddings=2048,
        word_embed_proj_dim=2048,
        dropout=0.0,
    ),
    "llama-2-7b": LlamaConfig(
        vocab_size=32000,
        hidden_size=4096,
        intermediate_size=11008,
        num_hidden_layers=32,
        num_attention_heads=32,
        num_key_value_heads=32,
        max_position_embeddings=4096,
    ),
    "smollm2-135m": LlamaConfig(
        vocab_size=49152,
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
    ),
    "tiny": OPTConfig(
        vocab_size=512,
        hidden_size=96,
        ffn_dim=384,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=512,
        word_embed_proj_dim=96,
        dropout=0.0,
    ),
}
BATCH = 8

Contender: TypeAlias = "Callable[[Setting], tuple[float, float]]"
"""Seconds of a step and of a knot."""


@dataclass(frozen=True)
class Arguments:
    """Measure training steps; medians over repeats, warm-up left out."""

    shapes: tuple[str, ...] = ("tiny",)
    """opt-1.3b, llama-2-7b, smollm2-135m, tiny."""
    lengths: tuple[int, ...] = (64,)
    """Tokens of every prompt."""
    fleet: tuple[int, ...] = (25,)
    """Sizes of the fleet."""
    chain: tuple[int, ...] = (1, 2)
    """Lengths of the chain, of our run and in the fleet; 1 is LoRA."""
    contenders: tuple[Literal["a", "b", "c", "d"], ...] = ("a", "b", "c", "d")
    """Which of the four to measure."""
    steps: int = 20
    """Measured in every repeat."""
    repeats: int = 3
    device: str = "auto"
    dtype: str = "bfloat16"
    output: Path | None = None
    """JSON-lines file that the rows are appended to."""


@dataclass(frozen=True)
class Setting:
    """One model on one length."""

    shape: str
    length: int
    folder: Path
    device: str
    dtype: str
    steps: int
    repeats: int

    @property
    def config(self) -> RunConfig:
        """The run that all four train."""
        warm = max(5, self.steps // 2)
        return RunConfig(
            task=str(self.folder / "task.yaml"),
            method="lora",
            model=str(self.folder / "model"),
            train_examples=BATCH * (warm + self.steps * self.repeats),
            dev_examples=BATCH,
            test_examples=BATCH,
            max_steps=warm + self.steps * self.repeats,
            dtype=self.dtype,  # type: ignore[arg-type]
        )


class Clock:
    """Marks the ends of steps; the first steps are warm-up."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.marks: list[float] = []
        self.count = 0

    def tick(self) -> None:
        """A step has ended."""
        self.count += 1
        start = self.setting.config.max_steps or 0
        past = self.count - (start - self.setting.steps * self.setting.repeats)
        if past >= 0 and past % self.setting.steps == 0:
            _wait(self.setting.device)
            self.marks.append(time.perf_counter())

    @property
    def seconds(self) -> float:
        """Of one step, the median over the repeats."""
        spans = [after - before for before, after in zip(self.marks, self.marks[1:], strict=False)]
        return statistics.median(spans) / self.setting.steps


def main() -> None:
    arguments = tyro.cli(Arguments)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    device = devices(arguments.device)[0]
    rows: list[dict[str, Any]] = []
    ceiling = _ceiling(device, getattr(torch, arguments.dtype))
    for shape in arguments.shapes:
        if shape not in SHAPES:
            raise ColaError(f"Unknown shape '{shape}'; expected one of {', '.join(SHAPES)}.")
        for length in arguments.lengths:
            with tempfile.TemporaryDirectory() as folder:
                setting = Setting(
                    shape, length, Path(folder), device, arguments.dtype, arguments.steps, arguments.repeats
                )
                _write(setting)
                for row in _measure(setting, _contenders(arguments, device), ceiling):
                    rows.append(row)
                    if arguments.output is not None:
                        with arguments.output.open("a") as file:
                            file.write(json.dumps(row) + "\n")
                _show(rows, ceiling, device)


def _contenders(arguments: Arguments, device: str) -> dict[str, tuple[Contender, int]]:
    """By name, with how many runs each trains."""
    alone = _fleet(1) if device != "cpu" else _through_trainer  # on a GPU a run is a fleet of one
    found: dict[str, tuple[Contender, int]] = {
        "(a) PEFT + Trainer": (_plain_trainer, 1),
        "(b) PEFT, label rows": (_plain_loop, 1),
    }
    for links in arguments.chain:
        found[f"(c) one run, {_arm(links)}"] = functools.partial(alone, links=links), 1
    for size, links in itertools.product(arguments.fleet, arguments.chain):
        found[f"(d) fleet of {size}, {_arm(links)}"] = functools.partial(_fleet(size), links=links), size
    return {name: found[name] for name in found if name[1] in arguments.contenders}


def _arm(links: int) -> str:
    return "LoRA" if links == 1 else f"COLA {links}"


def _measure(
    setting: Setting, contenders: dict[str, tuple[Contender, int]], ceiling: float
) -> Iterator[dict[str, Any]]:
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(SHAPES[setting.shape])
    head = model.get_output_embeddings()
    products = sum(m.weight.numel() for m in model.modules() if isinstance(m, torch.nn.Linear) and m is not head)
    first = 0.0
    for label, (run, size) in contenders.items():
        reset_peak(setting.device)
        try:
            seconds, knot = run(setting)
        except torch.cuda.OutOfMemoryError:
            continue
        finally:
            gc.collect()
            torch.cuda.empty_cache()
        rate = size * BATCH / seconds
        first = first or rate
        work = 4 * products * rate * setting.length
        yield {
            "shape": setting.shape,
            "length": setting.length,
            "contender": label,
            "ms_a_step": 1000 * seconds,
            "ms_a_knot": 1000 * knot,
            "examples_a_second": rate,
            "tokens_a_second": rate * setting.length,
            "teraflops": work / 1e12,
            "share_of_ceiling": work / ceiling,
            "peak_gib": peak_bytes(setting.device) / 2**30,
            "times_a": rate / first,
        }


def _plain_trainer(setting: Setting) -> tuple[float, float]:
    """MeZO's loss from the logits of every candidate over the whole vocabulary, in the Trainer."""
    prompts, labels, candidates, model = _plain(setting)
    clock = Clock(setting)

    class Mezo(Trainer):
        def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, **_: Any) -> Any:
            labels = inputs.pop("labels")
            logits = model(**inputs).logits[:, :-1].float().log_softmax(-1)
            own = logits.gather(-1, inputs["input_ids"][:, 1:, None])[:, -1, 0]
            return cross_entropy(own.view(len(labels), -1), labels)

    class Tick(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            clock.tick()

    def collate(rows: list[int]) -> dict[str, Any]:
        ids = torch.tensor([prompts[i] + candidate for i in rows for candidate in candidates])
        return {
            "input_ids": ids,
            "attention_mask": torch.ones_like(ids),
            "labels": torch.tensor([labels[i] for i in rows]),
        }

    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            per_device_train_batch_size=BATCH,
            max_steps=setting.config.max_steps,
            bf16=setting.dtype == "bfloat16",
            use_cpu=setting.device == "cpu",
            save_strategy="no",
            logging_strategy="no",
            remove_unused_columns=False,
            disable_tqdm=True,
            report_to="none",
        )
        trainer = Mezo(
            model, arguments, train_dataset=list(range(len(prompts))), data_collator=collate, callbacks=[Tick()]
        )
        trainer.remove_callback(PrinterCallback)
        trainer.model_accepts_loss_kwargs = False
        trainer.train()
    return clock.seconds, math.nan


def _plain_loop(setting: Setting) -> tuple[float, float]:
    prompts, labels, candidates, model = _plain(setting)
    clock, kind = Clock(setting), setting.device.partition(":")[0]
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, 5e-4, fused=True)
    dtype = getattr(torch, setting.dtype)
    for step in range(setting.config.max_steps or 0):
        chosen = range(step * BATCH, (step + 1) * BATCH)
        batch = candidate_batch([prompts[i] for i in chosen], candidates, 0)
        batch = {name: part.to(setting.device) for name, part in batch.items()}
        truth = torch.tensor([labels[i] for i in chosen], device=setting.device)
        with torch.autocast(kind, dtype, enabled=dtype != torch.float32):
            loss = cross_entropy(candidate_scores(model, batch, candidates), truth)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        clock.tick()
    return clock.seconds, math.nan


def _through_trainer(setting: Setting, links: int) -> tuple[float, float]:
    clock = Clock(setting)
    original = finetune.StopOnDivergence.on_log

    def on_log(self: Any, args: Any, state: Any, control: Any, logs: dict[str, float], **rest: Any) -> None:
        original(self, args, state, control, logs, **rest)
        if "loss" in logs:
            clock.tick()

    finetune.StopOnDivergence.on_log = on_log  # type: ignore[method-assign]
    try:
        record = perform(_config(setting, links), setting.device)
    finally:
        finetune.StopOnDivergence.on_log = original  # type: ignore[method-assign]
    return clock.seconds, record.costs["seconds_knots"] / max(1, links - 1)


def _config(setting: Setting, links: int) -> RunConfig:
    return dataclasses.replace(setting.config, method="lora" if links == 1 else "cola", chain=Schedule(length=links))


def _fleet(size: int) -> Callable[..., tuple[float, float]]:
    def measured(setting: Setting, links: int) -> tuple[float, float]:
        clock = Clock(setting)

        class Ticking(Fleet):
            def _step(self, *arguments: Any) -> None:
                super()._step(*arguments)
                clock.tick()

        config = _config(setting, links)
        fleet = Ticking([dataclasses.replace(config, seed=seed) for seed in range(size)], setting.device)
        fleet.sail()
        started = time.perf_counter()
        for run in range(size if links > 1 else 0):
            fleet.stack.tie(run, links - 1)
        _wait(setting.device)
        return clock.seconds, time.perf_counter() - started

    return measured


def _wait(device: str) -> None:
    """Until the device has computed what it was given."""
    if device != "cpu":
        torch.cuda.synchronize(device)


def _plain(setting: Setting) -> tuple[list[list[int]], list[int], list[list[int]], Any]:
    """Prompts, labels, candidates and a plain PEFT model, by the package's own loaders."""
    from colarepro.runs.material import gather
    from colarepro.tasks import encode

    material = gather(setting.config, setting.device)
    encoded = encode(material.task, material.splits.train, material.loaded.tokenizer)
    prepare = method("lora").prepare
    assert prepare is not None
    model = prepare(material.loaded.model, setting.config.adapter, setting.config.chain, 0).model
    return encoded.prompts, encoded.labels, encoded.candidates, model.train()


def _write(setting: Setting) -> None:
    """A model with random weights, a tokenizer of one token a word, and a task of prompts of one length."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    config = setting.config
    torch.manual_seed(0)
    with torch.device(setting.device), contextlib.redirect_stderr(io.StringIO()):
        model = AutoModelForCausalLM.from_config(SHAPES[setting.shape], dtype=getattr(torch, setting.dtype))
        model.save_pretrained(config.model)
    del model
    words = ["<pad>", "Yes", "No", *(f"w{number}" for number in range(400))]
    core = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<pad>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(tokenizer_object=core, pad_token="<pad>", eos_token="<pad>").save_pretrained(config.model)
    numbers = torch.randint(400, (config.train_examples + 2 * BATCH, setting.length)).tolist()
    lines = [
        json.dumps({"text": " ".join(f"w{n}" for n in row), "label": ("a", "b")[i % 2]})
        for i, row in enumerate(numbers)
    ]
    (setting.folder / "train.jsonl").write_text("\n".join(lines[:-BATCH]) + "\n")
    (setting.folder / "validation.jsonl").write_text("\n".join(lines[-BATCH:]) + "\n")
    task = {
        "template": "{text} ",
        "verbalizers": ["Yes", "No"],
        "labels": ["a", "b"],
        "files": {"train": "train.jsonl", "validation": "validation.jsonl"},
    }
    Path(config.task).write_text(json.dumps(task))  # JSON is YAML


def _ceiling(device: str, dtype: torch.dtype) -> float:
    """FLOPs a second of a large matrix product, the best of ten."""
    size = 8192 if device != "cpu" else 1024
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    best = float("inf")
    for _ in range(10):
        started = time.perf_counter()
        for _ in range(5):
            a @ b
        _wait(device)
        best = min(best, (time.perf_counter() - started) / 5)
    return 2 * size**3 / best


def _show(rows: list[dict[str, Any]], ceiling: float, device: str) -> None:
    name = torch.cuda.get_device_name(device) if device != "cpu" else "CPU"
    table = Table(title=f"{name}, torch {torch.__version__}; matrix product {ceiling / 1e12:.1f} TFLOP/s")
    for column in rows[0]:
        table.add_column(column.replace("_", " "), justify="left" if column in ("shape", "contender") else "right")
    for row in rows:
        table.add_row(*(f"{value:,.2f}" if isinstance(value, float) else str(value) for value in row.values()))
    Console(width=200).print(table)


if __name__ == "__main__":
    exit_cleanly(main)
