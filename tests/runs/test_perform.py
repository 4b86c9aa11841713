"""One run, from configuration to record."""

import dataclasses
import importlib
import math
import weakref
from pathlib import Path
from typing import Any

import pytest

from colarepro.chain import Schedule
from colarepro.errors import ColaError
from colarepro.fleet.fleet import Fleet
from colarepro.fleet.group import UnfitError
from colarepro.fleet.probe import Probe
from colarepro.methods import Adapter
from colarepro.models import tiny
from colarepro.results import Record
from colarepro.runs import RunConfig, perform
from colarepro.runs.material import Material
from colarepro.runs.trainer import CandidateTrainer


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
        learning_rate=1e-2,
    )


def comparable(record: Record) -> dict[str, Any]:
    """All of a record that must not depend on the machine's pace."""
    fields = dataclasses.asdict(record)
    fields["costs"] = {
        name: value for name, value in record.costs.items() if "seconds" not in name and name != "peak_bytes"
    }
    return fields


@pytest.mark.parametrize("method", ["full", "lora", "cola"])
def test_a_run_leaves_a_whole_record(config: RunConfig, method: str) -> None:
    record = perform(dataclasses.replace(config, method=method))
    assert record.status == "done"
    assert record.curves["step"] == [1, 2, 3, 4, 5, 6]
    assert record.curves["dev_step"] == [3, 6]
    assert record.curves["knots"] == ([4] if method == "cola" else [])  # three fifths of six steps
    hits = [p == t for p, t in zip(record.predictions["test"], record.predictions["test_labels"], strict=True)]
    assert record.scores["test_accuracy"] == sum(hits) / 20
    assert record.scores["dev_loss"] == min(record.curves["dev_loss"])
    assert record.costs["parameters_trained"] == (
        record.costs["parameters"] if method == "full" else tiny.LAYERS * 2 * 8 * 2 * tiny.WIDTH
    )
    assert str(config.data_dir) not in record.to_json()
    assert config.model not in record.to_json()


def test_the_same_question_has_the_same_answer(config: RunConfig) -> None:
    config = dataclasses.replace(config, adapter=Adapter(dropout=0.2))
    first, second = (perform(config) for _ in range(2))
    assert comparable(first) == comparable(second)


def test_accumulation_changes_what_a_step_holds_in_memory_only(config: RunConfig) -> None:
    """The same batches in pieces, also the last of an epoch that is not full; knots fall on the same steps."""
    config = dataclasses.replace(config, method="cola", train_examples=21, chain=Schedule(length=3), learning_rate=3e-3)
    whole, pieces = perform(config), perform(dataclasses.replace(config, accumulation=4))
    assert pieces.config == whole.config
    assert pieces.curves["knots"] == whole.curves["knots"]
    assert pieces.curves["loss"] == pytest.approx(whole.curves["loss"], rel=1e-5)  # 21 = 8 + 8 + 5, the last 2 + 2 + 1
    assert pieces.curves["dev_loss"] == pytest.approx(whole.curves["dev_loss"], rel=1e-5)
    assert len(pieces.curves["loss"]) == 6
    assert pieces.costs["tokens"] == whole.costs["tokens"]


def test_cola_is_lora_until_the_knot(config: RunConfig) -> None:
    """Same draws, same data order: the chain moves no random number of the run."""
    chain = dataclasses.replace(config, method="cola", chain=Schedule(knot_steps=(4,)))
    cola, lora = perform(chain), perform(dataclasses.replace(config, method="lora"))
    assert cola.curves["loss"][:4] == lora.curves["loss"][:4]
    assert cola.curves["loss"][4] == pytest.approx(lora.curves["loss"][4], rel=1e-5)  # merged, and the link at zero
    assert cola.curves["loss"][5] != lora.curves["loss"][5]


def test_a_chain_whose_best_epoch_is_before_the_knot_is_judged_there(config: RunConfig) -> None:
    """Predictions come from the best epoch's function, past links included."""
    config = dataclasses.replace(config, learning_rate=0.03, data_seed=1)  # overfits from the first epoch on
    cola = perform(dataclasses.replace(config, method="cola", chain=Schedule(knot_steps=(4,))))
    lora = perform(dataclasses.replace(config, method="lora"))
    assert cola.scores["best_step"] == lora.scores["best_step"] == 3
    assert cola.curves["loss"][5] != lora.curves["loss"][5]
    chosen = {name: value for name, value in cola.scores.items() if not name.endswith("_last")}
    assert chosen == {name: lora.scores[name] for name in chosen}
    assert cola.predictions["test"] == lora.predictions["test"]
    assert cola.scores["test_loss_last"] != lora.scores["test_loss_last"]


def test_divergence_is_a_record(config: RunConfig) -> None:
    record = perform(dataclasses.replace(config, method="full", learning_rate=1e38))
    assert record.status == "diverged"
    assert "not finite" in record.reason
    assert record.scores == {}


def test_a_record_says_what_it_began_with(config: RunConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkout may have another commit once a run is over."""
    steps: list[int] = []
    original = CandidateTrainer.training_step
    monkeypatch.setattr(
        CandidateTrainer, "training_step", lambda *arguments: (steps.append(1), original(*arguments))[1]
    )
    monkeypatch.setattr("colarepro.runs.material.environment", lambda _: {"commit": f"after {len(steps)} steps"})
    assert perform(config).environment == {"commit": "after 0 steps"}
    assert steps


def test_a_model_that_cannot_be_shared_is_gone_before_it_is_loaded_again(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a GPU, which may not hold two."""
    plain = perform(config)
    module: Any = importlib.import_module("colarepro.runs.perform")
    original = module.gather
    models: list[weakref.ref[Any]] = []

    def gather(config: RunConfig, device: str) -> Material:
        assert [model for model in models if model() is not None] == []
        material: Material = original(config, "cpu")
        models.append(weakref.ref(material.loaded.model))
        return material

    def unfit(*_: Any) -> None:
        raise UnfitError("Its attention is its own.")

    monkeypatch.setattr(module, "gather", gather)
    monkeypatch.setattr("colarepro.fleet.fleet.Fleet", lambda configs, _, loaded: Fleet(configs, "cpu", loaded))
    monkeypatch.setattr(Probe, "check", unfit)
    assert comparable(perform(config, "cuda:0")) == comparable(plain)
    assert len(models) == 2


def test_a_last_step_after_which_nothing_is_finite(config: RunConfig) -> None:
    """Every training loss is finite, but no dev loss."""
    record = perform(dataclasses.replace(config, method="full", learning_rate=1e30, max_steps=1))
    assert (record.status, record.reason) == ("diverged", "The dev loss was not finite after any epoch.")
    assert all(map(math.isfinite, record.curves["loss"]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"task": "rtee"}, "Unknown task 'rtee'"),
        ({"method": "loraa"}, "Unknown method 'loraa'; expected one of full, lora, cola"),
        ({"model": "no/such-model"}, "Model no/such-model could not be loaded"),
        ({"data_dir": Path("nowhere")}, "nowhere/RTE/train.jsonl"),
        ({"learning_rate": 0.0}, "learning rate is 0.0; expected a positive number"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"accumulation": 3}, "An accumulation of 3 does not divide the batch size, 8"),
        ({"chain": Schedule(knot_epochs=(2,))}, "step 6; expected one inside the run, from 1 to 5"),
        ({"chain": Schedule(length=2, ranks=(8, 200))}, "Rank 200 is more than"),
        ({"adapter": Adapter(targets=("query",))}, "No layer of OPTForCausalLM is named query"),
        ({"adapter": Adapter(rank=0)}, "rank is 0; expected 1 or more"),
        ({"dtype": "float16"}, "The dtype is float16; expected float32 or bfloat16"),
    ],
)
def test_wrong_input_is_one_sentence(
    config: RunConfig, change: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ColaError, match=message):
        perform(dataclasses.replace(config, **change))
