"""Chains over a base in four bits of bitsandbytes, as QLoRA does: links are stacked, the base stays as it is."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from bitsandbytes.functional import dequantize_4bit
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, Trainer, TrainingArguments

from colarepro.chain import ChainCallback, Schedule, export_adapter
from colarepro.errors import ColaError
from tests.chain.models import base_model, chained, logits, train
from tests.chain.test_callback import Tokens

NESTED = pytest.mark.parametrize("nested", [False, True], ids=["plain", "nested"])
STACK = Schedule(length=3, fold="stack")


@pytest.fixture(autouse=True)
def _one_path_on_every_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """On CPUs with AVX512-BF16, and only there, bitsandbytes 0.50 packs a weight otherwise when it is first evaluated:
    its scales are then rounded to bfloat16, and it passes no gradient on, whoever trains."""
    monkeypatch.setattr("bitsandbytes.nn.modules.has_avx512bf16", lambda: False)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    base_model().save_pretrained(folder)
    return folder


def four_bits(folder: Path, dtype: torch.dtype = torch.float32, *, nested: bool = True, **options: Any) -> Any:
    """The saved base with its linear layers in NF4; ``dtype`` is of all else and of the products."""
    config = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=dtype,
        bnb_4bit_use_double_quant=nested,
        **options,
    )
    return AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, quantization_config=config)


def adapted(base: Any, **lora: Any) -> Any:
    settings: dict[str, Any] = {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "v_proj"]}
    torch.manual_seed(0)
    return get_peft_model(base, LoraConfig(**(settings | lora))).train()


def base_state(model: Any) -> dict[str, Tensor]:
    """All that bitsandbytes keeps of the adapted layers: bytes, scales, and the scales' scales."""
    return {name: part.clone() for name, part in model.state_dict().items() if ".base_layer." in name}


def assert_same(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> None:
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(part, theirs[name]) for name, part in ours.items())


def moved(after: Tensor, before: Tensor) -> float:
    return float((after - before).abs().max() / before.abs().max())


def merged_into_four_bits(model: Any) -> Any:
    """A copy with its link merged as PEFT does, which quantises the sum anew."""
    with pytest.warns(UserWarning, match="4-bit linear may get different generations due to rounding"):
        return copy.deepcopy(model).merge_and_unload()


@NESTED
def test_a_knot_changes_nothing_where_a_merge_would(saved: Path, nested: bool) -> None:
    """Only to rounding: what two products added before, one of their stacked factors adds after."""
    model = adapted(four_bits(saved, nested=nested))
    chain, optimizer = chained(model, STACK, 9)
    base = base_state(model)
    assert {part.dtype for part in base.values()} == {torch.uint8, torch.float32}
    untrained = logits(model)
    for knot in range(2):
        train(model, None, optimizer, 3, first=3 * knot)
        before = logits(model)
        merged = merged_into_four_bits(model)
        chain.tie()
        ours, theirs = moved(logits(model), before), moved(logits(merged), before)
        assert ours < 1e-6
        assert theirs > 0.02
        assert moved(before, untrained) > 0.02
        assert_same(base_state(model), base)
    train(model, None, optimizer, 3, first=6)
    assert_same(base_state(model), base)


@pytest.mark.parametrize(("dtype", "rounding"), [(torch.float32, 1e-6), (torch.bfloat16, 2**-7)])
def test_a_layer_computes_with_its_four_bits_plus_every_link(saved: Path, dtype: torch.dtype, rounding: float) -> None:
    model = adapted(four_bits(saved, dtype))
    chain, optimizer = chained(model, STACK, 9)
    layers = {target.name: target.layer for target in chain.targets}
    weights = {}
    for name, layer in layers.items():
        packed = layer.get_base_layer().weight
        weights[name] = dequantize_4bit(packed.data, packed.quant_state).double()
    for knot in range(3):
        train(model, None, optimizer, 3, first=3 * knot)
        for name, layer in layers.items():
            lora_A, lora_B = layer.lora_A["default"].weight.detach(), layer.lora_B["default"].weight.detach()
            weights[name] += 8 / 4 * lora_B.double() @ lora_A.double()
        if knot < 2:
            chain.tie()
    inputs = torch.randn(5, 16, generator=torch.Generator().manual_seed(0)).to(dtype)
    for name, layer in layers.items():
        with torch.no_grad():
            assert moved(layer(inputs).double(), inputs.double() @ weights[name].T) < rounding


@NESTED
def test_a_chain_goes_on_from_its_file(saved: Path, tmp_path: Path, nested: bool) -> None:
    """After the second knot, in the third link; the optimizer's state is the caller's to keep, as in any loop."""
    models = [adapted(four_bits(saved, nested=nested)) for _ in range(2)]
    (chain, optimizer), (resumed, _) = [chained(model, STACK, 9) for model in models]
    train(models[0], chain, optimizer, 7)
    assert chain.link == 2
    chain.save(tmp_path)
    resumed.load(tmp_path)
    assert (resumed.link, resumed.steps_done) == (2, 7)
    assert torch.equal(*[logits(model) for model in models])
    assert_same(base_state(models[1]), base_state(models[0]))


def test_a_chain_is_one_adapter_over_the_same_four_bits(saved: Path, tmp_path: Path) -> None:
    model = adapted(four_bits(saved))
    chain, optimizer = chained(model, STACK, 9)
    train(model, chain, optimizer, 9)
    plain = PeftModel.from_pretrained(four_bits(saved), str(export_adapter(chain, tmp_path)))
    assert moved(logits(plain), logits(model)) < 1e-6


def test_the_trainer_resumes_over_four_bits(saved: Path, tmp_path: Path) -> None:
    """With dropout, an evaluation every epoch, and knots after the sixth and the twelfth step of eighteen."""

    def trainer(model: Any) -> Trainer:
        arguments = TrainingArguments(
            output_dir=str(tmp_path),
            per_device_train_batch_size=4,
            num_train_epochs=3,
            learning_rate=1e-2,
            save_steps=9,
            eval_strategy="epoch",
            use_cpu=True,
            disable_tqdm=True,
            report_to="none",
            dataloader_pin_memory=False,
            seed=1,
        )
        callbacks = [ChainCallback(STACK)]
        return Trainer(model=model, args=arguments, train_dataset=Tokens(), eval_dataset=Tokens(1), callbacks=callbacks)

    whole, resumed = [trainer(adapted(four_bits(saved), lora_dropout=0.1)) for _ in range(2)]
    whole.train()
    resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-9"))
    assert torch.equal(logits(resumed.model), logits(whole.model))
    assert_same(base_state(resumed.model), base_state(whole.model))


@pytest.mark.parametrize("storage", ["uint8", "bfloat16", "float32"])
@pytest.mark.parametrize("dora", [False, True])
def test_a_merge_into_four_bits_is_refused(saved: Path, dora: bool, storage: str) -> None:
    """Whatever dtype the bytes are kept in: bitsandbytes lets them look like an ordinary weight."""
    model = adapted(four_bits(saved, bnb_4bit_quant_storage=storage), use_dora=dora)
    base, before = base_state(model), logits(model)
    said = (
        "expected plain float32 weights"
        if dora
        else "into which nothing merges exactly; leave it out of target_modules or use fold='stack'"
    )
    with pytest.raises(ColaError, match=rf"q_proj has a .*Params4bit of torch.{storage}.*{said}\.$") as refusal:
        chained(model, Schedule(length=3), 9)
    assert "\n" not in str(refusal.value)
    assert_same(base_state(model), base)
    assert torch.equal(logits(model), before)
