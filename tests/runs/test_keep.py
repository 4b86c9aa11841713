"""Kept models and their exports give a run's own predictions again, by plain PEFT and transformers."""

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from colarepro.chain import Schedule
from colarepro.errors import ColaError
from colarepro.methods import Adapter
from colarepro.models.candidates import scores_of
from colarepro.results import Record, Store
from colarepro.runs import RunConfig
from colarepro.runs.keep import ADAPTER, export_kept
from colarepro.runs.stored import run_stored
from colarepro.tasks import draw, encode, load_task

STEPPED = Schedule(knot_epochs=(1, 2), ranks=(8, 4, 2))
ARMS: dict[str, tuple[str, Adapter, Schedule]] = {
    "full": ("full", Adapter(), Schedule()),
    "lora": ("lora", Adapter(), Schedule()),
    "cola": ("cola", Adapter(), STEPPED),
    "lora-restart": ("lora-restart", Adapter(), Schedule(knot_epochs=(1,))),
    "rac-lora": ("rac-lora", Adapter(), Schedule(knot_epochs=(1, 2))),
    "lora of rsLoRA": ("lora", Adapter(variant="rslora"), Schedule()),
    "lora of DoRA": ("lora", Adapter(variant="dora"), Schedule()),
    "cola of DoRA": ("cola", Adapter(variant="dora"), STEPPED),
    "lora of PiSSA": ("lora", Adapter(variant="pissa_niter_2"), Schedule()),
}
WITHOUT_ADAPTER = {"full", "cola of DoRA", "lora of PiSSA"}


class Kept(NamedTuple):
    """A run that was kept."""

    config: RunConfig
    record: Record
    store: Store


def config_of(arm: str, untrained: str, miniature: Path) -> RunConfig:
    method, adapter, chain = ARMS[arm]
    return RunConfig(
        task="rte",
        method=method,
        adapter=dataclasses.replace(adapter, targets=("q_proj", "v_proj", "fc1")),
        chain=chain,
        model=untrained,
        data_dir=miniature,
        learning_rate=1e-3 if method == "full" else 1e-2,
        epochs=3,
        train_examples=32,
        dev_examples=16,
        test_examples=100,
    )


@pytest.fixture(scope="module")
def kept(untrained: str, miniature: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Kept]:
    """One run of every arm."""
    runs = {}
    for arm in ARMS:
        config, store = config_of(arm, untrained, miniature), Store(tmp_path_factory.mktemp("kept"))
        runs[arm] = Kept(config, run_stored(config, store, "cpu", keep=True), store)
    return runs


def predictions(model: Any, config: RunConfig) -> list[int]:
    """What a model answers to a run's test examples."""
    task, tokenizer = load_task("rte"), AutoTokenizer.from_pretrained(config.model)
    splits = draw(task, config.data_dir, 0, "paper", config.train_examples, config.dev_examples, config.test_examples)
    encoded = encode(task, splits.test, tokenizer)
    return scores_of(model.eval(), encoded, tokenizer.pad_token_id, batch_size=32).argmax(1).tolist()


def plain(folder: Path | str) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)


@pytest.mark.parametrize("arm", ARMS)
def test_a_merged_export_gives_the_runs_predictions(arm: str, kept: dict[str, Kept], tmp_path: Path) -> None:
    config, record, store = kept[arm]
    folder = export_kept(record, store, "merged", tmp_path / "merged", config.model)
    said = record.predictions["test"]
    assert predictions(plain(folder), config) == said
    changed = np.mean(np.array(predictions(plain(config.model), config)) != said)
    assert set(said) == {0, 1}
    assert changed > 0.1
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer("a b")["input_ids"] == AutoTokenizer.from_pretrained(config.model)("a b")["input_ids"]


@pytest.mark.parametrize("arm", [arm for arm in ARMS if arm not in WITHOUT_ADAPTER])
def test_an_adapter_gives_the_runs_predictions(arm: str, kept: dict[str, Kept], tmp_path: Path) -> None:
    config, record, store = kept[arm]
    folder = export_kept(record, store, "adapter", tmp_path / "adapter")
    model = PeftModel.from_pretrained(plain(config.model), str(folder))
    assert predictions(model, config) == record.predictions["test"]


@pytest.mark.parametrize("arm", sorted(WITHOUT_ADAPTER))
def test_what_no_adapter_holds_is_said(arm: str, kept: dict[str, Kept], tmp_path: Path) -> None:
    _, record, store = kept[arm]
    with pytest.raises(ColaError, match="whose model no adapter holds; expected --to merged"):
        export_kept(record, store, "adapter", tmp_path / "adapter")


def test_another_base_is_refused(kept: dict[str, Kept], tmp_path: Path) -> None:
    config, record, store = kept["lora"]
    model = plain(config.model)
    with torch.no_grad():
        model.get_input_embeddings().weight[3, 4] += 1e-3
    model.save_pretrained(tmp_path / "changed")
    AutoTokenizer.from_pretrained(config.model).save_pretrained(tmp_path / "changed")
    with pytest.raises(ColaError, match=f"has other weights now than run {record.identity} began with"):
        export_kept(record, store, "merged", tmp_path / "merged", str(tmp_path / "changed"))
    assert not (tmp_path / "merged").exists()


def test_a_base_whose_folder_is_unknown_is_named(kept: dict[str, Kept], tmp_path: Path) -> None:
    """A record knows a folder's name, not its place."""
    _, record, store = kept["lora"]
    with pytest.raises(ColaError, match=f"Unknown model '{record.config['model']}'"):
        export_kept(record, store, "merged", tmp_path / "merged")


def test_what_is_not_there_says_why(kept: dict[str, Kept], tmp_path: Path) -> None:
    config, record, _ = kept["lora"]
    elsewhere = Store(tmp_path)
    diverged = dataclasses.replace(record, status="diverged")
    answered = dataclasses.replace(record, config=dataclasses.replace(config, method="zero-shot").question())
    for one, reason in (
        (record, "it was not kept; perform the run again with --keep"),
        (diverged, "the run diverged"),
        (answered, "zero-shot trains none"),
    ):
        with pytest.raises(ColaError, match=f"is not there: {reason}"):
            export_kept(one, elsewhere, "merged", tmp_path / "merged")


def test_a_folder_that_exists_is_left_alone(kept: dict[str, Kept], tmp_path: Path) -> None:
    _, record, store = kept["lora"]
    with pytest.raises(ColaError, match="exists already; expected a folder that does not"):
        export_kept(record, store, "adapter", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_to_is_one_sentence(kept: dict[str, Kept], tmp_path: Path) -> None:
    _, record, store = kept["lora"]
    (tmp_path / "file").write_text("")
    with pytest.raises(ColaError, match=r"The export to .*adapter could not be written \(.*\)\.$"):
        export_kept(record, store, "adapter", tmp_path / "file" / "adapter")


def test_a_model_that_was_not_kept_is_trained_again(untrained: str, miniature: Path, tmp_path: Path) -> None:
    config = dataclasses.replace(config_of("lora", untrained, miniature), epochs=1, test_examples=8)
    store = Store(tmp_path)
    first = run_stored(config, store, "cpu")
    assert not store.model(first.identity).exists()
    assert run_stored(config, store, "cpu", keep=True).predictions == first.predictions
    assert (store.model(first.identity) / ADAPTER / "adapter_model.safetensors").exists()
