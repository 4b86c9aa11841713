"""The chain in a transformers.Trainer: knots, checkpoints, resume, best model."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import Dataset
from transformers import Trainer, TrainerCallback, TrainingArguments

from colarepro.chain import ChainCallback, Schedule
from colarepro.errors import ColaError
from tests.chain.models import VOCABULARY, base_model, logits, peft_model


class Tokens(Dataset):
    """Twenty-four random sequences."""

    def __init__(self, seed: int = 0) -> None:
        self.rows = torch.randint(0, VOCABULARY, (24, 8), generator=torch.Generator().manual_seed(seed))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {"input_ids": self.rows[index], "labels": self.rows[index]}


def trainer(folder: Path, schedule: Schedule, model: Any = None, **arguments: Any) -> tuple[Trainer, ChainCallback]:
    """Three epochs of six steps, checkpoints every three steps; plain LoRA with dropout unless a model is given."""
    settings: dict[str, Any] = {
        "output_dir": str(folder),
        "per_device_train_batch_size": 4,
        "num_train_epochs": 3,
        "learning_rate": 1e-2,
        "lr_scheduler_type": "linear",
        "save_strategy": "steps",
        "save_steps": 3,
        "logging_steps": 1,
        "use_cpu": True,
        "disable_tqdm": True,
        "report_to": "none",
        "dataloader_pin_memory": False,
        "seed": 1,
    }
    callback = ChainCallback(schedule, seed=5)
    return Trainer(
        model=peft_model(lora_dropout=0.1) if model is None else model,
        args=TrainingArguments(**(settings | arguments)),
        train_dataset=Tokens(),
        eval_dataset=Tokens(1),
        callbacks=[callback],
    ), callback


def losses(run: Trainer) -> list[float]:
    return [entry["loss"] for entry in run.state.log_history if "loss" in entry]


def weights(run: Trainer) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in run.model.state_dict().items()}


def assert_equal(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> None:
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        assert torch.equal(tensor, theirs[name]), name


SCHEDULES = {
    "merge": Schedule(knot_epochs=(1, 2)),
    "stack": Schedule(knot_epochs=(1, 2), fold="stack"),
    "rank step-down": Schedule(knot_steps=(6, 12), ranks=(4, 2, 1)),
    "same A, restarted rate": Schedule(length=3, initialization="same", learning_rate="restart"),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_resume_equals_the_uninterrupted_run(name: str, tmp_path: Path) -> None:
    """At a knot (6, 12), between knots (9) and before the first (3); dropout and shuffling on."""
    schedule = SCHEDULES[name]
    straight, callback = trainer(tmp_path, schedule)
    straight.train()
    assert callback.chain is not None
    assert callback.chain.link == 2
    for step in (3, 6, 9, 12):
        resumed, again = trainer(tmp_path, schedule, save_strategy="no")
        resumed.train(resume_from_checkpoint=str(tmp_path / f"checkpoint-{step}"))
        assert losses(resumed) == losses(straight)
        assert_equal(weights(resumed), weights(straight))
        assert again.chain is not None
        assert again.chain.link == 2


def test_knots_count_optimizer_steps_under_accumulation(tmp_path: Path) -> None:
    run, callback = trainer(tmp_path, Schedule(knot_epochs=(1, 2)), gradient_accumulation_steps=4, save_strategy="no")
    run.train()
    assert run.state.max_steps == 6  # six batches an epoch, accumulated by four and by the two left over
    assert callback.chain is not None
    assert callback.chain.plan.knots == (2, 4)
    assert callback.chain.link == 2


def test_a_chain_of_one_link_is_plain_lora(tmp_path: Path) -> None:
    run, _ = trainer(tmp_path, Schedule(length=1), save_strategy="no")
    run.train()
    plain, callback = trainer(tmp_path, Schedule(length=1), save_strategy="no")
    plain.remove_callback(callback)
    plain.train()
    assert losses(run) == losses(plain)
    assert_equal(weights(run), weights(plain))


BEST: dict[str, Any] = {
    "load_best_model_at_end": True,
    "eval_strategy": "steps",
    "eval_steps": 3,
    "metric_for_best_model": "eval_steps_left",  # the best model is the first, before the knot
    "greater_is_better": True,
}


class Watch(TrainerCallback):
    """Logits at every checkpoint."""

    def __init__(self) -> None:
        self.seen: dict[int, torch.Tensor] = {}

    def on_evaluate(self, args: Any, state: Any, control: Any, *, metrics: dict[str, float], **_: Any) -> None:
        metrics["eval_steps_left"] = state.max_steps - state.global_step

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.seen[state.global_step] = logits(kwargs["model"])


def assert_best_is_restored(run: Trainer, callback: ChainCallback) -> None:
    """Train with a knot at step 7; the model then is the best one, whose link is the first."""
    watch = Watch()
    run.add_callback(watch)
    run.train()
    assert not any(module.training for module in run.model.modules())  # as the Trainer leaves it
    best = int(str(run.state.best_model_checkpoint).rsplit("-", 1)[1])
    assert best < 7 < max(watch.seen)
    assert not torch.equal(watch.seen[best], watch.seen[max(watch.seen)])
    assert torch.equal(logits(run.model), watch.seen[best])
    assert callback.chain is not None
    assert callback.chain.link == 0


@pytest.mark.parametrize("schedule", [Schedule(knot_steps=(7,)), Schedule(knot_steps=(7,), ranks=(4, 2))])
def test_the_best_model_restores_past_links_too(schedule: Schedule, tmp_path: Path) -> None:
    assert_best_is_restored(*trainer(tmp_path, schedule, **BEST))


@pytest.mark.parametrize("how", ["add_callback", "model_init"])
def test_the_best_model_of_another_rank_however_the_callback_came(how: str, tmp_path: Path) -> None:
    schedule = Schedule(knot_steps=(7,), ranks=(4, 2))
    run, callback = trainer(tmp_path, schedule, **BEST)
    if how == "add_callback":  # to a Trainer that had none when it was built
        model, data = peft_model(lora_dropout=0.1), {"train_dataset": Tokens(), "eval_dataset": Tokens(1)}
        run, callback = Trainer(model=model, args=run.args, **data), ChainCallback(schedule, seed=5)
        run.add_callback(callback)
    else:
        run.model_init = lambda: peft_model(lora_dropout=0.1)
    assert_best_is_restored(run, callback)


def test_the_chain_of_another_training_is_refused(tmp_path: Path) -> None:
    """Both lie at step 9: the Trainer takes the one that it is given, a chain looks into the output folder."""
    schedule = Schedule(knot_steps=(6,))
    for name in ("first", "second"):
        run, _ = trainer(tmp_path / name, schedule)
        run.train()
    run, callback = trainer(tmp_path / "second", schedule, save_strategy="no")
    with pytest.raises(ColaError, match=r"second/checkpoint-9/chain.safetensors is of another training"):
        run.train(resume_from_checkpoint=str(tmp_path / "first" / "checkpoint-9"))
    run, callback = trainer(tmp_path / "second", schedule, save_strategy="no")
    callback.resume_from = str(tmp_path / "first" / "checkpoint-9")
    run.train(resume_from_checkpoint=callback.resume_from)


def test_resume_refuses_a_merged_base(tmp_path: Path) -> None:
    """The second merge of what a checkpoint already holds is how a chain silently goes wrong."""
    schedule = Schedule(knot_steps=(6,))
    first, _ = trainer(tmp_path, schedule)
    first.train()
    run, _ = trainer(tmp_path, schedule)
    merged = first.model.state_dict()
    run.model.load_state_dict(merged)
    with pytest.raises(ColaError, match="on other base weights"):
        run.train(resume_from_checkpoint=str(tmp_path / "checkpoint-9"))


def test_resume_refuses_another_plan_and_a_torn_or_missing_file(tmp_path: Path) -> None:
    first, _ = trainer(tmp_path, Schedule(knot_steps=(6,)))
    first.train()
    checkpoint = tmp_path / "checkpoint-9"
    other, _ = trainer(tmp_path, Schedule(knot_steps=(7,)))
    with pytest.raises(ColaError, match="was made for steps, knots and ranks"):
        other.train(resume_from_checkpoint=str(checkpoint))

    state = checkpoint / "chain.safetensors"
    state.write_bytes(state.read_bytes()[:100])
    torn, _ = trainer(tmp_path, Schedule(knot_steps=(6,)))
    with pytest.raises(ColaError, match="not a whole chain state"):
        torn.train(resume_from_checkpoint=str(checkpoint))
    state.unlink()
    missing, _ = trainer(tmp_path, Schedule(knot_steps=(6,)))
    with pytest.raises(ColaError, match=r"no chain.safetensors was found in .*checkpoint-9"):
        missing.train(resume_from_checkpoint=str(checkpoint))


def test_a_checkpoint_elsewhere_is_named(tmp_path: Path) -> None:
    schedule = Schedule(knot_steps=(6,))
    straight, _ = trainer(tmp_path / "first", schedule)
    straight.train()
    checkpoint = str(tmp_path / "first" / "checkpoint-9")
    resumed, callback = trainer(tmp_path / "second", schedule, save_strategy="no")
    callback.resume_from = checkpoint
    resumed.train(resume_from_checkpoint=checkpoint)
    assert_equal(weights(resumed), weights(straight))


def test_a_knot_beyond_the_run_is_refused_before_training(tmp_path: Path) -> None:
    run, _ = trainer(tmp_path, Schedule(knot_epochs=(3,)), save_strategy="no")
    with pytest.raises(ColaError, match="step 18; expected one inside the run, from 1 to 17"):
        run.train()
    assert_equal(
        {name: tensor for name, tensor in base_model().state_dict().items() if "self_attn" not in name},
        {
            name.removeprefix("base_model.model."): tensor
            for name, tensor in weights(run).items()
            if "self_attn" not in name
        },
    )
