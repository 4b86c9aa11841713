"""One fine-tuning run, from a configuration to a record."""

import math
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import EvalPrediction, PrinterCallback, TrainingArguments, set_seed
from transformers.pytorch_utils import Conv1D

from colarepro.errors import ColaError
from colarepro.methods import method
from colarepro.models import load
from colarepro.results import Record, environment
from colarepro.runs.checkpoints import MarkWhole, last_whole
from colarepro.runs.config import RunConfig
from colarepro.runs.trainer import CandidateTrainer, QuietProgress, StopOnDivergence, rows
from colarepro.tasks import digest, draw, encode, load_task, scores


def finetune(config: RunConfig, device: str = "cpu", progress: bool = True, folder: Path | None = None) -> Record:
    """Train, choose the epoch by dev loss (as MeZO does), judge on test.

    ``device`` is ``cpu`` or a CUDA device. ``folder`` keeps the checkpoints: a run that was killed goes on from the
    last whole one there, and its record is that of the undisturbed run, its seconds apart, which are those of the
    last part. The caller deletes the folder once the record is safe; without one nothing is kept. A run whose loss or
    link stops being finite gives a record with the status ``diverged``; wrong input raises `ColaError` before
    training.
    """
    started = time.perf_counter()
    if not (math.isfinite(config.learning_rate) and config.learning_rate > 0):
        raise ColaError(f"The learning rate is {config.learning_rate}; expected a positive number.")
    for name in ("epochs", "batch_size", "max_length"):
        if getattr(config, name) < 1:
            raise ColaError(f"{name} is {getattr(config, name)}; expected 1 or more.")
    chosen = method(config.method)
    task = load_task(config.task)
    splits = draw(
        task,
        config.data_dir,
        config.data_seed,
        config.protocol,
        config.train_examples,
        config.dev_examples,
        config.test_examples,
    )
    loaded = load(config.model, getattr(torch, config.dtype), device)
    train, dev, test = (
        encode(task, examples, loaded.tokenizer, config.max_length)
        for examples in (splits.train, splits.dev, splits.test)
    )
    set_seed(config.seed)
    prepared = chosen.prepare(loaded.model, config.adapter, config.chain, config.seed)
    if prepared.chain is not None:  # an impossible chain is refused here, not in the middle
        steps_per_epoch = math.ceil(len(splits.train) / config.batch_size)
        prepared.chain.schedule.resolve(config.max_steps or steps_per_epoch * config.epochs, steps_per_epoch)

    with tempfile.TemporaryDirectory(prefix="colarepro-") as scratch:
        folder = Path(scratch) if folder is None else folder
        checkpoint = last_whole(folder)
        divergence, mark = StopOnDivergence(), MarkWhole()
        callbacks = [
            divergence,
            *([prepared.chain] if prepared.chain else []),
            *([QuietProgress()] if progress else []),
            mark,
        ]
        trainer = CandidateTrainer(
            candidates=train.candidates,
            pad=loaded.tokenizer.pad_token_id,
            model=prepared.model,
            args=_arguments(config, folder, device),
            train_dataset=rows(train),
            eval_dataset=rows(dev),
            compute_metrics=_accuracy,
            callbacks=callbacks,
        )
        trainer.remove_callback(PrinterCallback)
        mark.trainer = trainer
        if checkpoint is not None:
            mark.resume(checkpoint)
        loaded_at = time.perf_counter()
        reason = ""
        try:
            trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
        except ColaError as error:
            if trainer.state.global_step == 0:  # a chain that cannot be
                raise
            reason = str(error)  # a knot refused a link that is not finite
        if divergence.diverged_at is not None:
            reason = f"The training loss was not finite at step {divergence.diverged_at}."
        trained_at = time.perf_counter()
        predictions: dict[str, list[int]] = {}
        judged: dict[str, float] = {}
        if not reason:
            logits = np.asarray(trainer.predict(rows(test)).predictions)
            predictions = {"test": logits.argmax(1).tolist(), "test_labels": test.labels}
            judged = {f"test_{name}": value for name, value in scores(task, splits.test, predictions["test"]).items()}
            judged |= _best(trainer)
        ended = time.perf_counter()

    return Record(
        kind="llm",
        config=config.question(),
        status="diverged" if reason else "done",
        reason=reason,
        scores=judged,
        curves=_curves(trainer, prepared.chain.chain.plan.knots if prepared.chain and prepared.chain.chain else ()),
        predictions=predictions,
        costs={
            **_sizes(prepared.model, trainer),
            "seconds_prepare": loaded_at - started,
            "seconds_train": trained_at - loaded_at,
            "seconds_test": ended - trained_at,
            "peak_bytes": _peak_bytes(device),
        },
        digests={
            "weights": loaded.digest,
            "train": digest(splits.train),
            "dev": digest(splits.dev),
            "test": digest(splits.test),
        },
        environment=environment(device),
    )


def _arguments(config: RunConfig, folder: Path, device: str) -> TrainingArguments:
    on_cpu = device == "cpu"
    return TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=config.batch_size,
        per_device_eval_batch_size=4 * config.batch_size,
        num_train_epochs=config.epochs,
        max_steps=config.max_steps or -1,
        learning_rate=config.learning_rate,
        lr_scheduler_type="linear",
        weight_decay=0.0,
        bf16=config.dtype == "bfloat16",
        seed=config.seed,
        use_cpu=on_cpu,
        dataloader_pin_memory=not on_cpu,
        eval_strategy="epoch",
        save_strategy="epoch",
        save_total_limit=2,  # the one before is whole while the next is being written
        load_best_model_at_end=True,
        metric_for_best_model="eval_loss",
        greater_is_better=False,
        logging_steps=1,
        logging_nan_inf_filter=False,
        remove_unused_columns=False,
        label_names=["labels"],
        disable_tqdm=True,
        report_to="none",
    )


def _accuracy(output: EvalPrediction) -> dict[str, float]:
    return {"accuracy": float((np.asarray(output.predictions).argmax(1) == output.label_ids).mean())}


def _best(trainer: CandidateTrainer) -> dict[str, float]:
    step = trainer.state.best_global_step
    best = next(entry for entry in trainer.state.log_history if "eval_loss" in entry and entry["step"] == step)
    return {"dev_loss": best["eval_loss"], "dev_accuracy": best["eval_accuracy"], "best_step": best["step"]}


def _curves(trainer: CandidateTrainer, knots: tuple[int, ...]) -> dict[str, list[float]]:
    steps = [entry for entry in trainer.state.log_history if "loss" in entry]
    evaluations = [entry for entry in trainer.state.log_history if "eval_loss" in entry]
    return {
        "step": [entry["step"] for entry in steps],
        "loss": [entry["loss"] for entry in steps],
        "learning_rate": [entry["learning_rate"] for entry in steps],
        "dev_step": [entry["step"] for entry in evaluations],
        "dev_loss": [entry["eval_loss"] for entry in evaluations],
        "dev_accuracy": [entry["eval_accuracy"] for entry in evaluations],
        "knots": list(knots),
    }


def _sizes(model: Any, trainer: CandidateTrainer) -> dict[str, float]:
    """Parameter and token counts, and training FLOPs by formula: 4 a token for every weight in a matrix product
    (forward, and backward to the activations), 2 more where the weight is trained. Embeddings, of which the output
    is needed at one position only, and attention scores are left out."""
    head = model.get_output_embeddings()
    weights = [m.weight for m in model.modules() if isinstance(m, nn.Linear | Conv1D) and m is not head]
    products = sum(weight.numel() for weight in weights)
    trained = sum(weight.numel() for weight in weights if weight.requires_grad)
    fed = trainer.tokens + trainer.padding
    return {
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "parameters_trained": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "tokens": trainer.tokens,
        "padding_share": trainer.padding / max(fed, 1),
        "flops_train": fed * (4 * products + 2 * trained),
    }


def _peak_bytes(device: str) -> float:
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
