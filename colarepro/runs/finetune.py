"""One fine-tuning, from material to a record."""

import math
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from transformers import EvalPrediction, PrinterCallback, TrainerCallback, TrainingArguments, set_seed

from colarepro.chain.first import draw_first_link
from colarepro.errors import ColaError, NotFiniteError
from colarepro.methods import method
from colarepro.methods.prepared import Prepared
from colarepro.models.attention import without_cudnn_attention
from colarepro.results import Record
from colarepro.runs import ranks
from colarepro.runs.checkpoints import MarkWhole, last_whole
from colarepro.runs.config import RunConfig
from colarepro.runs.costs import count, flops_by_formula, peak_bytes, reset_peak
from colarepro.runs.judge import NEVER_FINITE
from colarepro.runs.keep import keep_model
from colarepro.runs.material import Material
from colarepro.runs.shard import shard
from colarepro.runs.trainer import CandidateTrainer, QuietProgress, StopOnDivergence, rows
from colarepro.tasks import encode


def finetune(
    material: Material,
    *,
    progress: bool,
    folder: Path | None,
    keep: Path | None,
    report_to: str,
    sharded: bool = False,
    watch: Callable[[Prepared], TrainerCallback] | None = None,
) -> Record:
    """Train, choose the epoch by dev loss (as MeZO does), judge on test; `colarepro.runs.perform` says the rest.

    ``watch`` makes a callback that looks on; it is called before the chain's.
    """
    config, device, loaded = material.config, material.device, material.loaded
    reset_peak(device)
    started = time.perf_counter()
    train, dev, test = (
        encode(material.task, examples, loaded.tokenizer, config.max_length)
        for examples in (material.splits.train, material.splits.dev, material.splits.test)
    )
    set_seed(config.seed)
    prepared = _prepare(material)
    ranks.by_first(lambda: _check_links(prepared))
    # Before training, since later links may have other ranks, and the best epoch's comes back at the end.
    counted, sizes = count(prepared.model), _sizes(prepared)
    if sharded:
        shard(prepared.model, device)
    with tempfile.TemporaryDirectory(prefix="colarepro-") as scratch:
        folder = ranks.by_first(lambda: Path(scratch) if folder is None else folder)
        checkpoint = ranks.by_first(lambda: last_whole(folder, loaded.digest))
        divergence, mark = StopOnDivergence(), MarkWhole(loaded.digest)
        chain = [] if prepared.chain is None else [prepared.chain]
        watching = [] if watch is None else [watch(prepared)]
        trainer = CandidateTrainer(
            candidates=train.candidates,
            pad=loaded.tokenizer.pad_token_id,
            judged_last=(rows(train), rows(test)),
            sharded=sharded,
            model=prepared.model,
            args=_arguments(config, folder, device, report_to, unused=not hasattr(prepared.model, "peft_config")),
            train_dataset=rows(train),
            eval_dataset=rows(dev),
            compute_metrics=_accuracy,
            callbacks=[divergence, *watching, *chain, *([QuietProgress()] if progress else []), mark],
        )
        trainer.remove_callback(PrinterCallback)
        mark.trainer = trainer
        ranks.draw_apart(config.seed)
        if checkpoint is not None:
            mark.resume(checkpoint)
        prepared_at = time.perf_counter()
        reason = ""
        try:
            with without_cudnn_attention():
                trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
        except NotFiniteError as error:  # a knot refused the link
            reason = str(error)
        if divergence.diverged_at is not None:
            reason = f"The training loss was not finite at step {divergence.diverged_at}."
        elif not reason and not trainer.scores_last:
            reason = NEVER_FINITE
        trained_at = time.perf_counter()
        predictions: list[list[int]] = []
        judged: dict[str, float] = {}
        if not reason:
            (train_last, last), best = trainer.scores_last, trainer.scores_of(rows(test))
            predictions = [best.argmax(1).tolist(), last.argmax(1).tolist()]
            judged = material.judge_trained(train_last, last, best) | _best(trainer)
        tested_at = time.perf_counter()
        peak = max(ranks.of_all(peak_bytes(device)))
        fed = trainer.fed_of_all()
        if keep is not None and not reason and ranks.is_first():
            keep_model(prepared, keep)

    return material.record(
        *predictions,
        status="diverged" if reason else "done",
        reason=reason,
        scores=judged,
        curves=_curves(trainer, prepared),
        costs={
            **sizes,
            "tokens": fed.tokens,
            "padding_share": fed.padding_share,
            "flops_train": flops_by_formula(prepared.model, fed),
            "flops_train_counted": counted.flops_of(fed),
            "seconds_prepare": material.seconds + prepared_at - started,
            "seconds_train": trained_at - prepared_at - trainer.seconds_last,
            "seconds_dev": trainer.seconds_dev,
            "seconds_save": trainer.seconds_save,
            "seconds_knots": sum(callback.seconds for callback in chain),
            "seconds_test": tested_at - trained_at + trainer.seconds_last,
            "peak_bytes": peak,
        },
    )


def _prepare(material: Material) -> Prepared:
    """The model, made trainable; an impossible chain is refused here, not in the middle."""
    config = material.config
    prepare = method(config.method).prepare
    assert prepare is not None
    prepared = prepare(material.loaded.model, config.adapter, config.chain, config.seed)
    draw_first_link(prepared.model, config.seed)
    if prepared.chain is not None:
        steps_per_epoch = math.ceil(len(material.splits.train) / config.batch_size)
        prepared.chain.schedule.resolve(config.max_steps or steps_per_epoch * config.epochs, steps_per_epoch)
    return prepared


def _check_links(prepared: Prepared) -> None:
    if ranks.count() > 1 and prepared.chain is not None and prepared.chain.schedule.ranks:
        raise ColaError("The links have other ranks, which many processes cannot train; expected one process.")


def _sizes(prepared: Prepared) -> dict[str, float]:
    """Parameters of a model with its last link."""
    trained = sum(p.numel() for p in prepared.model.parameters() if p.requires_grad)
    frozen = sum(p.numel() for p in prepared.model.parameters() if not p.requires_grad)
    ranks = prepared.chain.schedule.ranks if prepared.chain is not None else ()
    last = trained * ranks[-1] // ranks[0] if ranks else trained
    return {"parameters": frozen + last, "parameters_trained": last}


def _arguments(config: RunConfig, folder: Path, device: str, report_to: str, *, unused: bool) -> TrainingArguments:
    """``unused`` says whether a forward pass may leave out weights that are trained; DDP then looks for them."""
    on_cpu = device == "cpu"
    return TrainingArguments(
        output_dir=str(folder),
        run_name=f"{config.task} {config.method} {config.learning_rate:g} {config.seed}",
        per_device_train_batch_size=config.batch_size // config.accumulation // ranks.count(),
        gradient_accumulation_steps=config.accumulation,
        per_device_eval_batch_size=4 * config.batch_size,
        num_train_epochs=config.epochs,
        max_steps=config.max_steps or -1,
        learning_rate=config.learning_rate,
        lr_scheduler_type="linear",
        weight_decay=0.0,
        ddp_find_unused_parameters=unused,
        bf16=config.dtype == "bfloat16",
        seed=config.seed,
        use_cpu=on_cpu,
        dataloader_pin_memory=not on_cpu,
        eval_strategy="epoch",
        save_strategy="epoch",
        save_total_limit=3,  # the best one, and the one before, which is whole while the next is being written
        load_best_model_at_end=True,
        metric_for_best_model="eval_loss",
        greater_is_better=False,
        logging_steps=1,
        logging_nan_inf_filter=False,
        remove_unused_columns=False,
        label_names=["labels"],
        disable_tqdm=True,
        report_to=report_to,
    )


def _accuracy(output: EvalPrediction) -> dict[str, float]:
    return {"accuracy": float((np.asarray(output.predictions).argmax(1) == output.label_ids).mean())}


def _best(trainer: CandidateTrainer) -> dict[str, float]:
    step = trainer.state.best_global_step
    best = next(entry for entry in trainer.state.log_history if "eval_loss" in entry and entry["step"] == step)
    return {"dev_loss": best["eval_loss"], "dev_accuracy": best["eval_accuracy"], "best_step": best["step"]}


def _curves(trainer: CandidateTrainer, prepared: Prepared) -> dict[str, list[float]]:
    steps = [entry for entry in trainer.state.log_history if "loss" in entry]
    # An epoch's last update may leave weights that give nothing finite; the next step then says so.
    evaluations = [entry for entry in trainer.state.log_history if math.isfinite(entry.get("eval_loss", math.nan))]
    chain = prepared.chain.chain if prepared.chain is not None else None
    return {
        "step": [entry["step"] for entry in steps],
        "loss": [entry["loss"] for entry in steps],
        "learning_rate": [entry["learning_rate"] for entry in steps],
        "dev_step": [entry["step"] for entry in evaluations],
        "dev_loss": [entry["eval_loss"] for entry in evaluations],
        "dev_accuracy": [entry["eval_accuracy"] for entry in evaluations],
        "knots": [] if chain is None else list(chain.plan.knots),
    }
