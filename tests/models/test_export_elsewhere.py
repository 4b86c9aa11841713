"""A finished chain where this package is unknown: in another process, by plain PEFT and transformers."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from colarepro.chain import Chain, Schedule, export_adapter, export_merged
from colarepro.methods import Adapter
from tests.chain.models import adamw, logits, tokens, train
from tests.models.families import FAMILIES, random_model

STEPPED = (4, 2, 1)
CASES = {
    **{family: (family, STEPPED) for family in FAMILIES},
    "llama beyond full rank": ("llama", (4,) * 5),  # its v_proj is 8 × 16, so the ranks come as a pattern
}

SCRIPT = """
import json, sys
import torch
from peft import PeftModel
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

def load(folder):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)

tokens = torch.tensor(json.loads(sys.argv[1]))
for case in sys.argv[2:]:
    models = {
        "base": load(f"{case}/base"),
        "adapter": PeftModel.from_pretrained(load(f"{case}/base"), f"{case}/adapter"),
        "merged": load(f"{case}/merged"),
    }
    with torch.no_grad():
        save_file({name: model.eval()(tokens).logits for name, model in models.items()}, f"{case}/logits.safetensors")
assert not any(name.split(".")[0] == "colarepro" for name in sys.modules)
"""

# PEFT sets this for Conv1D by itself and says so.
pytestmark = pytest.mark.filterwarnings("ignore:fan_in_fan_out is set to False:UserWarning")


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[torch.Tensor, dict[str, torch.Tensor]]]:
    """Logits of each chain here, and of its exports there. One process for all: most of its time goes into imports."""
    here: dict[str, torch.Tensor] = {}
    folders: dict[str, Path] = {}
    for case, (family, ranks) in CASES.items():
        folders[case] = folder = tmp_path_factory.mktemp("case")
        base = random_model(family)
        base.save_pretrained(folder / "base")
        model = Adapter(rank=4, targets=FAMILIES[family].targets).attach(base).train()
        optimizer = adamw(model)
        chain = Chain(model, Schedule(length=len(ranks), ranks=ranks), total_steps=10, optimizer=optimizer)
        train(model, chain, optimizer, 10)
        export_adapter(chain, folder / "adapter")
        export_merged(chain, folder / "merged")
        here[case] = logits(model)
    words = [sys.executable, "-I", "-c", SCRIPT, json.dumps(tokens(99).tolist()), *map(str, folders.values())]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {case: (here[case], load_file(folder / "logits.safetensors")) for case, folder in folders.items()}


@pytest.mark.parametrize("export", ["adapter", "merged"])
@pytest.mark.parametrize("case", CASES)
def test_another_process_computes_what_the_chain_computes(
    case: str, export: str, seen: dict[str, tuple[torch.Tensor, dict[str, torch.Tensor]]]
) -> None:
    here, there = seen[case]
    torch.testing.assert_close(there[export], here, rtol=1e-5, atol=1e-5)
    assert (there["base"] - here).abs().max() > 0.1
