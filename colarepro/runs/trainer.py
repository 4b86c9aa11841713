"""The Trainer of transformers, with the loss of a classification by verbalizers."""

import math
import time
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.utils.data import Sampler
from transformers import ProgressCallback, Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from colarepro.models.candidates import candidate_batch, candidate_scores
from colarepro.runs import ranks
from colarepro.runs.costs import Fed, product_weights, trained_in_products
from colarepro.runs.judge import judge
from colarepro.runs.order import order
from colarepro.tasks import Encoded

IGNORED = -100
"""The label that PyTorch's cross-entropy leaves out, and the Trainer's count of a batch's items, too."""


def rows(encoded: Encoded) -> list[dict[str, Any]]:
    """Examples as a Trainer's data set."""
    return [{"prompt": prompt, "label": label} for prompt, label in zip(encoded.prompts, encoded.labels, strict=True)]


def filler(pad: int) -> dict[str, Any]:
    """A row that no loss and no count knows of."""
    return {"prompt": [pad], "label": IGNORED}


class SeededOrder(Sampler[int]):
    """The order of `colarepro.runs.order`, epoch by epoch: a run on its own and one in a fleet see the same batches.

    The place after the last example, where a `filler` stands, makes the length a multiple of ``multiple``, so that
    every rank has as many batches as the others and no example is seen twice.
    """

    def __init__(self, seed: int, examples: int, multiple: int = 1) -> None:
        self._seed, self._examples, self._epoch = seed, examples, 0
        self._fillers = -examples % multiple

    def set_epoch(self, epoch: int) -> None:
        """The Trainer says which epoch begins, also when it resumes."""
        self._epoch = epoch

    def __len__(self) -> int:
        return self._examples + self._fillers

    def __iter__(self) -> Iterator[int]:
        return iter([*order(self._seed, self._epoch, self._examples).tolist(), *[self._examples] * self._fillers])


class CandidateTrainer(Trainer):
    """Cross-entropy over the candidates' scores (MeZO's classification loss); predictions are (examples, candidates).

    ``fed`` counts what training has fed to the model so far; ``seconds_dev`` and ``seconds_save`` are the parts of
    training that went into evaluation and checkpoints. ``scores_last`` are the scores of the data sets ``judged_last``
    after the last epoch, before the best one's model comes back, and ``seconds_last`` what they took.

    Many ranks compute what one does: a step's loss is the mean over the examples of all of them.
    """

    def __init__(
        self,
        *,
        candidates: list[list[int]],
        pad: int,
        judged_last: tuple[list[dict[str, Any]], ...],
        sharded: bool = False,
        **settings: Any,
    ) -> None:
        self.candidates = candidates
        self.pad = pad
        self.judged_last = judged_last
        self.scores_last: list[Tensor] = []
        self.fed = Fed()
        self.seconds_dev = self.seconds_save = self.seconds_last = 0.0
        self.examples = len(settings["train_dataset"])
        settings["train_dataset"] = [*settings["train_dataset"], filler(pad)]
        super().__init__(data_collator=self._collate, **settings)
        self._weights = product_weights(self.model)
        # The Trainer is to count the labels of a whole step, over its ranks and passes, for `compute_loss`.
        self.model_accepts_loss_kwargs = True
        self._loss_shifts_labels = False
        # The Trainer then averages gradients itself, without DDP, which takes no sharded model. Said afterwards, since
        # it would refuse checkpoints: an optimizer's state may be sharded elsewhere, but not here.
        self.is_distributed_loading_by_transformers = sharded

    def _collate(self, examples: list[dict[str, Any]]) -> dict[str, Tensor]:
        batch = candidate_batch([example["prompt"] for example in examples], self.candidates, self.pad)
        return batch | {"labels": torch.tensor([example["label"] for example in examples])}

    def fed_of_all(self) -> Fed:
        """What training has fed to the model on all ranks together."""
        return sum(ranks.of_all(self.fed), Fed())

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | None = None,
    ) -> Any:
        batch = {key: value for key, value in inputs.items() if key != "labels"}
        labels = inputs["labels"]
        if model.training:
            real = (labels != IGNORED).repeat_interleave(len(batch["attention_mask"]) // len(labels))
            mask = batch["attention_mask"][real]
            self.fed.add(mask.shape[0], mask.shape[1], int(mask.sum()), trained_in_products(self._weights))
        scores = candidate_scores(model, batch, self.candidates)
        loss = cross_entropy(scores, labels, reduction="sum")
        # What is averaged over the ranks is to be the mean over all their examples.
        loss = loss / len(labels) if num_items_in_batch is None else loss * ranks.count() / num_items_in_batch
        return (loss, scores) if return_outputs else loss

    def prediction_step(
        self, model: Any, inputs: dict[str, Any], prediction_loss_only: bool, ignore_keys: Any = None
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        inputs = self._prepare_inputs(inputs)
        with torch.no_grad(), self.compute_loss_context_manager():
            loss, scores = self.compute_loss(model, inputs, return_outputs=True)
        return loss, scores, inputs["labels"]

    def _get_train_sampler(self, train_dataset: Any = None) -> SeededOrder:
        return SeededOrder(self.args.seed, self.examples, 1 if ranks.count() == 1 else self._global_batch())

    def _global_batch(self) -> int:
        """Examples of one forward pass on all ranks."""
        return int(self.args.per_device_train_batch_size) * ranks.count()

    def evaluation_loop(self, *arguments: Any, **options: Any) -> Any:
        """The Trainer's own mean loss is one over batches, which ranks fill up with examples seen already."""
        output = super().evaluation_loop(*arguments, **options)
        loss, _ = judge(torch.from_numpy(output.predictions), output.label_ids)
        output.metrics[f"{options['metric_key_prefix']}_loss"] = loss
        return output

    def evaluate(self, *arguments: Any, **options: Any) -> dict[str, float]:
        started = time.perf_counter()
        metrics: dict[str, float] = super().evaluate(*arguments, **options)
        self.seconds_dev += time.perf_counter() - started
        return metrics

    def scores_of(self, examples: list[dict[str, Any]]) -> Tensor:
        """Scores of a data set, float32 (examples, candidates) in its order, on the host."""
        return torch.from_numpy(self.predict(examples).predictions)

    def _load_best_model(self) -> None:
        started = time.perf_counter()
        self.scores_last = [self.scores_of(examples) for examples in self.judged_last]
        self.seconds_last = time.perf_counter() - started
        super()._load_best_model()

    def _save_checkpoint(self, *arguments: Any, **options: Any) -> None:
        started = time.perf_counter()
        super()._save_checkpoint(*arguments, **options)
        self.seconds_save += time.perf_counter() - started

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        return 0  # transformers' estimate is that of full training; ours is computed from the token counts


class QuietProgress(ProgressCallback):
    """The Trainer's progress bar without a line for every logged step."""

    def on_log(self, *_: Any, **__: Any) -> None: ...


class StopOnDivergence(TrainerCallback):
    """End training as soon as a loss is not finite, and leave no checkpoint of what that made of the weights: a run
    that is killed thereafter diverges once more."""

    diverged_at: int | None = None

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: dict[str, float], **_: Any
    ) -> None:
        if not math.isfinite(logs.get("loss", 0.0)):
            self.diverged_at = state.global_step
            control.should_training_stop = True

    def on_epoch_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if self.diverged_at is not None:
            control.should_evaluate = control.should_save = False
