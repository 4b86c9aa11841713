"""Exports judged by EleutherAI's lm-evaluation-harness, against our own scores of the same examples."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import lm_eval
import numpy as np
import pytest
import torch
from lm_eval.tasks import TaskManager
from torch.nn.functional import cross_entropy

from colarepro.chain import Chain, Schedule, export_adapter, export_merged
from colarepro.methods import Adapter
from colarepro.models import load
from colarepro.models.candidates import candidate_batch, candidate_scores, scores_of
from colarepro.tasks import encode, load_examples, load_task
from colarepro.tasks.harness import write_harness_task
from tests.chain.models import adamw

RANKS, STEPS = (8, 4, 2), 9


class Exported(NamedTuple):
    """A chain trained on RTE: its exports as lm_eval's model arguments, the task's folder, and what we make of it."""

    models: dict[str, dict[str, str]]
    tasks: Path
    scores: np.ndarray
    labels: list[int]


@pytest.fixture(scope="module")
def exported(untrained: str, miniature: Path, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    folder = tmp_path_factory.mktemp("exported")
    task, loaded = load_task("rte"), load(untrained)
    pad = loaded.tokenizer.pad_token_id
    train = encode(task, load_examples(task, "train", miniature)[:16], loaded.tokenizer)
    model = Adapter(rank=RANKS[0]).attach(loaded.model).train()
    optimizer = adamw(model)
    chain = Chain(model, Schedule(length=3, ranks=RANKS), total_steps=STEPS, optimizer=optimizer)
    batch, labels = candidate_batch(train.prompts, train.candidates, pad), torch.tensor(train.labels)
    for _ in range(STEPS):
        cross_entropy(candidate_scores(model, batch, train.candidates), labels).backward()
        optimizer.step()
        chain.step()
        optimizer.zero_grad()

    examples = load_examples(task, "validation", miniature)[:60]
    held = encode(task, examples, loaded.tokenizer)
    scores = scores_of(model.eval(), held, pad, batch_size=8)
    export_adapter(chain, folder / "adapter")
    export_merged(chain, folder / "merged")
    loaded.tokenizer.save_pretrained(folder / "merged")
    models = {
        "adapter": {"pretrained": untrained, "peft": str(folder / "adapter")},
        "merged": {"pretrained": str(folder / "merged")},
    }

    write_harness_task(task, examples, folder / "tasks")
    return Exported(models, folder / "tasks", scores, held.labels)


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No hub for anybody; the variables are read at import."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("datasets.config.HF_DATASETS_OFFLINE", True)
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("export", ["adapter", "merged"])
def test_the_harness_gives_our_predictions_and_our_accuracy(export: str, exported: Exported) -> None:
    output: Any = lm_eval.simple_evaluate(
        "hf",
        model_args=exported.models[export] | {"dtype": "float32"},
        tasks=["colarepro_rte"],
        task_manager=TaskManager(include_path=str(exported.tasks), include_defaults=False),
        batch_size=8,
        device="cpu",
        bootstrap_iters=0,
        random_seed=None,
        numpy_random_seed=None,
        torch_random_seed=None,
    )
    samples = sorted(output["samples"]["colarepro_rte"], key=lambda sample: sample["doc_id"])
    theirs = np.array([[loglikelihood for loglikelihood, _ in sample["filtered_resps"]] for sample in samples])
    ours = exported.scores.argmax(1)
    assert set(ours) == {0, 1}
    assert theirs.argmax(1).tolist() == ours.tolist()
    np.testing.assert_allclose(np.diff(theirs, axis=1), np.diff(exported.scores, axis=1), atol=1e-5)
    assert output["results"]["colarepro_rte"]["acc,none"] == np.mean(ours == exported.labels)
