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
from colarepro.runs.costs import Fed, product_weights, trained_in_products
from colarepro.runs.order import order
from colarepro.tasks import Encoded


def rows(encoded: Encoded) -> list[dict[str, Any]]:
    """Examples as a Trainer's data set."""
    return [{"prompt": prompt, "label": label} for prompt, label in zip(encoded.prompts, encoded.labels, strict=True)]


class SeededOrder(Sampler[int]):
    """The order of `colarepro.runs.order`, epoch by epoch: a run on its own and one in a fleet see the same batches."""

    def __init__(self, seed: int, examples: int) -> None:
        self._seed, self._examples, self._epoch = seed, examples, 0

    def set_epoch(self, epoch: int) -> None:
        """The Trainer says which epoch begins, also when it resumes."""
        self._epoch = epoch

    def __len__(self) -> int:
        return self._examples

    def __iter__(self) -> Iterator[int]:
        return iter(order(self._seed, self._epoch, self._examples).tolist())


class CandidateTrainer(Trainer):
    """Cross-entropy over the candidates' scores (MeZO's classification loss); predictions are (examples, candidates).

    ``fed`` counts what training has fed to the model so far; ``seconds_dev`` and ``seconds_save`` are the parts of
    training that went into evaluation and checkpoints. ``scores_last`` are the scores of the data sets ``judged_last``
    after the last epoch, before the best one's model comes back, and ``seconds_last`` what they took.
    """

    def __init__(
        self, *, candidates: list[list[int]], pad: int, judged_last: tuple[list[dict[str, Any]], ...], **settings: Any
    ) -> None:
        self.candidates = candidates
        self.pad = pad
        self.judged_last = judged_last
        self.scores_last: list[Tensor] = []
        self.fed = Fed()
        self.seconds_dev = self.seconds_save = self.seconds_last = 0.0
        super().__init__(data_collator=self._collate, **settings)
        self._weights = product_weights(self.model)
        self.model_accepts_loss_kwargs = False  # our loss is a mean over the batch

    def _collate(self, examples: list[dict[str, Any]]) -> dict[str, Tensor]:
        batch = candidate_batch([example["prompt"] for example in examples], self.candidates, self.pad)
        return batch | {"labels": torch.tensor([example["label"] for example in examples])}

    def compute_loss(self, model: Any, inputs: dict[str, Tensor], return_outputs: bool = False, **_: Any) -> Any:
        batch = {key: value for key, value in inputs.items() if key != "labels"}
        if model.training:
            mask = batch["attention_mask"]
            self.fed.add(mask.shape[0], mask.shape[1], int(mask.sum()), trained_in_products(self._weights))
        scores = candidate_scores(model, batch, self.candidates)
        loss = cross_entropy(scores, inputs["labels"])
        return (loss, scores) if return_outputs else loss

    def prediction_step(
        self, model: Any, inputs: dict[str, Any], prediction_loss_only: bool, ignore_keys: Any = None
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        inputs = self._prepare_inputs(inputs)
        with torch.no_grad(), self.compute_loss_context_manager():
            loss, scores = self.compute_loss(model, inputs, return_outputs=True)
        return loss, scores, inputs["labels"]

    def _get_train_sampler(self, train_dataset: Any = None) -> SeededOrder:
        return SeededOrder(self.args.seed, len(self.train_dataset))

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
    """End training as soon as a loss is not finite."""

    diverged_at: int | None = None

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: dict[str, float], **_: Any
    ) -> None:
        if not math.isfinite(logs.get("loss", 0.0)):
            self.diverged_at = state.global_step
            control.should_training_stop = True
