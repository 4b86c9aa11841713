"""What a run takes, known before it starts, against the run itself."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel

from colarepro.chain import Schedule
from colarepro.errors import ColaError
from colarepro.methods import method
from colarepro.models import load
from colarepro.models.candidates import candidate_batch, candidate_scores
from colarepro.runs import RunConfig, perform
from colarepro.runs.estimate import estimate
from colarepro.tasks import draw, encode, load_task
from colarepro.tasks.task_file import SHIPPED


@pytest.fixture
def config(untrained: str, miniature: Path) -> RunConfig:
    return RunConfig(
        task="rte",
        model=untrained,
        data_dir=miniature,
        epochs=2,
        train_examples=24,
        dev_examples=16,
        test_examples=20,
        seed=3,
    )


@pytest.fixture
def wordy(tmp_path: Path) -> str:
    """RTE with verbalizers of several tokens."""
    text = (SHIPPED / "rte.yaml").read_text().replace('["Yes", "No"]', '["It does mean that", "No"]')
    path = tmp_path / "wordy.yaml"
    path.write_text(text)
    return str(path)


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> list[torch.Size]:
    """The shape of every batch that goes through a model in evaluation mode."""
    shapes: list[torch.Size] = []
    original = PreTrainedModel.__call__

    def watched(model: Any, *arguments: Any, **inputs: Any) -> Any:
        # The whole model only, not the part without an output; nor where FLOPs are counted.
        if not model.training and "logits_to_keep" in inputs and not inputs["input_ids"].is_meta:
            shapes.append(inputs["input_ids"].shape)
        return original(model, *arguments, **inputs)

    monkeypatch.setattr(PreTrainedModel, "__call__", watched)
    return shapes


def forward_flops(shapes: list[torch.Size], model: Any, adapters: float = 0) -> float:
    """By hand: 2 for every weight of a product and every position, 4 · length² · width for attention in each layer."""
    config = model.config
    width, layers = config.hidden_size, config.num_hidden_layers
    weights = layers * (4 * width**2 + 2 * width * config.ffn_dim) + adapters
    return sum(2 * weights * rows * length + 4 * rows * length**2 * width * layers for rows, length in shapes)


@pytest.mark.parametrize("arm", ["full", "lora", "cola", "rank step-down", "mid-epoch", "several tokens"])
def test_flops_are_those_of_the_run(config: RunConfig, arm: str, wordy: str, judged: list[torch.Size]) -> None:
    """Of its training, which the record has, and of the batches by which it was judged."""
    changes: dict[str, dict[str, Any]] = {
        "rank step-down": {"method": "cola", "chain": Schedule(knot_epochs=(1,), ranks=(8, 2))},
        "mid-epoch": {"method": "lora", "max_steps": 5},
        "several tokens": {"method": "lora", "task": wordy},
    }
    config = dataclasses.replace(config, **changes.get(arm, {"method": arm}))
    record = perform(config)
    adapters = 0 if arm == "full" else record.costs["parameters_trained"]
    real = record.costs["flops_train"] + forward_flops(judged, load(config.model).model, adapters)
    # The plan takes the first link's rank for all, and a part of an epoch for as much of its FLOPs.
    rough = arm in ("rank step-down", "mid-epoch")
    assert estimate(config).flops == pytest.approx(real, rel=0.02 if rough else 1e-12)


@pytest.mark.parametrize("name", ["zero-shot", "linear-probe", "in-context"])
def test_flops_of_answers_without_training(config: RunConfig, name: str, judged: list[torch.Size]) -> None:
    config = dataclasses.replace(config, method=name, demonstrations=4)
    perform(config)
    real = forward_flops(judged, load(config.model).model)
    assert estimate(config).flops == pytest.approx(real, rel=0.06)  # the demonstrations are taken at their mean length


@pytest.mark.parametrize("name", ["full", "lora"])
def test_bytes_are_those_of_a_step(config: RunConfig, name: str) -> None:
    """Weights, gradients, AdamW's moments, and what PyTorch keeps for the backward pass of the longest batch."""
    config = dataclasses.replace(config, method=name)
    prepare = method(name).prepare
    assert prepare is not None
    loaded = load(config.model)
    model = prepare(loaded.model, config.adapter, config.chain, 0).model.train()
    task = load_task("rte")
    counts = config.train_examples, config.dev_examples, config.test_examples
    encoded = encode(task, draw(task, config.data_dir, 0, "paper", *counts).train, loaded.tokenizer)
    longest = max(encoded.prompts, key=len)
    batch = candidate_batch([longest] * config.batch_size, encoded.candidates, loaded.tokenizer.pad_token_id)

    kept: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    own = {tensor.untyped_storage().data_ptr() for tensor in (*model.parameters(), *model.buffers())}
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = candidate_scores(model, batch, encoded.candidates).sum()
    activations = sum(size for place, size in kept.items() if place not in own)
    loss.backward()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained)
    optimizer.step()
    held = [*model.parameters(), *(p.grad for p in trained if p.grad is not None)]
    held += [moment for state in optimizer.state.values() for moment in state.values() if moment.dim()]
    real = sum(tensor.numel() * tensor.element_size() for tensor in held) + activations
    assert estimate(config).bytes == pytest.approx(real, rel=0.1)


def test_seconds_are_steps_or_flops(config: RunConfig) -> None:
    few, many = (estimate(dataclasses.replace(config, epochs=epochs)) for epochs in (1, 10))
    assert many.seconds == pytest.approx(10 * few.seconds)
    assert estimate(dataclasses.replace(config, method="zero-shot")).seconds < few.seconds / 100


def test_no_weights_are_read(config: RunConfig, tmp_path: Path) -> None:
    """Nor is a hub asked: a folder with a configuration and a tokenizer is enough."""
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((Path(config.model) / name).read_bytes())
    assert estimate(dataclasses.replace(config, model=str(tmp_path))) == estimate(config)


def test_a_hub_that_cannot_be_reached_is_one_sentence(config: RunConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ColaError, match=r"model facebook/opt-1\.3b could not be loaded") as raised:
        estimate(dataclasses.replace(config, model="facebook/opt-1.3b"))
    assert "\n" not in str(raised.value)
