"""Training as one writes it with PEFT: in the Trainer, or in a plain loop."""

import tempfile
from typing import Any

import torch
from torch.nn.functional import cross_entropy
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from colarepro.bench.clock import Clock
from colarepro.bench.setting import Setting
from colarepro.methods import method
from colarepro.models.candidates import candidate_batch, candidate_scores
from colarepro.runs.material import gather
from colarepro.tasks import encode


def in_trainer(setting: Setting) -> float:
    """MeZO's loss from the logits of every candidate over the whole vocabulary, in the Trainer."""
    prompts, labels, candidates, model = _prepared(setting)
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
            per_device_train_batch_size=setting.batch,
            max_steps=setting.total_steps,
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
    return clock.seconds


def in_loop(setting: Setting) -> float:
    """With the label rows alone."""
    prompts, labels, candidates, model = _prepared(setting)
    clock, kind = Clock(setting), setting.device.partition(":")[0]
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, 5e-4, fused=True)
    dtype = getattr(torch, setting.dtype)
    for step in range(setting.total_steps):
        chosen = range(step * setting.batch, (step + 1) * setting.batch)
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
    return clock.seconds


def _prepared(setting: Setting) -> tuple[list[list[int]], list[int], list[list[int]], Any]:
    """Prompts, labels, candidates and a plain PEFT model, by the package's own loaders."""
    config = setting.config()
    material = gather(config, setting.device)
    encoded = encode(material.task, material.splits.train, material.loaded.tokenizer)
    prepare = method("lora").prepare
    assert prepare is not None
    model = prepare(material.loaded.model, config.adapter, config.chain, 0).model
    return encoded.prompts, encoded.labels, encoded.candidates, model.train()
