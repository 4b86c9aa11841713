"""A finished chain as others load it."""

from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.lora import LoraLayer
from transformers import AutoModelForCausalLM, LlamaForSequenceClassification

from colarepro.chain import Chain, Schedule, export_adapter, export_merged
from colarepro.errors import ColaError
from tests.chain.models import base_model, chained, logits, peft_model, tokens, train

BESIDE = [
    {"modules_to_save": ["lm_head"]},
    {"modules_to_save": ["lm_head", "embed_tokens"]},
    {"trainable_token_indices": [1, 2, 3]},
]
CASES = {
    "plain": {},
    "rslora": {"use_rslora": True},
    "bias": {"lora_bias": True},
    "trained biases": {"bias": "lora_only"},
}


def trained(family: str, fold: str, lora: dict, ranks: tuple[int, ...] = (4, 2, 3)) -> Chain:
    model = peft_model(family, **lora)
    chain, optimizer = chained(model, Schedule(length=len(ranks), ranks=ranks, fold=fold), 9)
    train(model, chain, optimizer, 9)
    return chain


@pytest.mark.parametrize("fold", ["merge", "stack"])
@pytest.mark.parametrize("case", CASES)
def test_one_adapter_equals_the_chain(case: str, fold: str, tmp_path: Path) -> None:
    chain = trained("opt", fold, CASES[case])
    export_adapter(chain, tmp_path)
    loaded = PeftModel.from_pretrained(base_model("opt"), str(tmp_path))
    assert loaded.peft_config["default"].r == 9
    torch.testing.assert_close(logits(loaded), logits(chain.model), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(logits(loaded.merge_and_unload()), logits(chain.model), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_a_chain_beyond_full_rank_is_still_one_exact_adapter(family: str, tmp_path: Path) -> None:
    """Five links of rank 4 sum to 20; the weights are 16 wide, Llama's v_proj only 8."""
    model = peft_model(family)
    chain, optimizer = chained(model, Schedule(length=5), 10)
    train(model, chain, optimizer, 10)
    export_adapter(chain, tmp_path)
    loaded = PeftModel.from_pretrained(base_model(family), str(tmp_path))
    ranks = {module.r["default"] for module in loaded.modules() if isinstance(module, LoraLayer)}
    assert ranks == ({8, 16} if family == "llama" else {16})
    torch.testing.assert_close(logits(loaded), logits(model), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("fold", ["merge", "stack"])
@pytest.mark.parametrize("family", ["opt", "llama", "gpt2"])
def test_the_merged_checkpoint_equals_the_chain_and_leaves_it_alone(family: str, fold: str, tmp_path: Path) -> None:
    chain = trained(family, fold, {})
    before = logits(chain.model)
    export_merged(chain, tmp_path)
    assert torch.equal(logits(chain.model), before)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    torch.testing.assert_close(logits(loaded), before, rtol=1e-5, atol=1e-5)
    assert not any("lora" in name for name in loaded.state_dict())


def test_a_merged_low_precision_checkpoint_is_rounded_once(tmp_path: Path) -> None:
    model = peft_model(dtype=torch.bfloat16)
    chain, optimizer = chained(model, Schedule(length=3), 9)
    train(model, chain, optimizer, 9)
    export_merged(chain, tmp_path)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.bfloat16)
    name = "model.layers.1.self_attn.v_proj"
    original = dict(base_model(dtype=torch.bfloat16).named_modules())[name].weight.float()
    merged = dict(loaded.named_modules())[name].weight
    assert torch.equal(merged, (original + chain.delta(name)).bfloat16())


@pytest.mark.parametrize("fold", ["merge", "stack"])
@pytest.mark.parametrize("beside", BESIDE)
def test_the_merged_checkpoint_has_what_was_trained_beside_the_adapter(beside: dict, fold: str, tmp_path: Path) -> None:
    chain = trained("llama", fold, beside)
    before = logits(chain.model)
    assert not torch.allclose(before, logits(trained("llama", fold, {}).model), atol=1e-3)
    export_merged(chain, tmp_path)
    assert torch.equal(logits(chain.model), before)
    loaded, said = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32, output_loading_info=True)
    assert not any(said.values())
    torch.testing.assert_close(logits(loaded), before, rtol=1e-5, atol=1e-5)


def test_a_classifier_s_head_is_in_the_merged_checkpoint(tmp_path: Path) -> None:
    torch.manual_seed(0)
    settings = base_model().config
    settings.pad_token_id = 0
    model = get_peft_model(LlamaForSequenceClassification(settings), LoraConfig(task_type="SEQ_CLS", r=2)).train()
    chain, optimizer = chained(model, Schedule(length=2), 4)
    for step in range(4):
        model(input_ids=tokens(step), labels=torch.tensor([0, 1, 1, 0])).loss.backward()
        optimizer.step()
        chain.step()
        optimizer.zero_grad()
    export_merged(chain, tmp_path)
    loaded = LlamaForSequenceClassification.from_pretrained(tmp_path)
    torch.testing.assert_close(logits(loaded), logits(model), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dora", [False, True])
def test_tied_embeddings_that_training_has_parted(dora: bool, tmp_path: Path) -> None:
    """Loaders that go by the configuration must not tie them again; DoRA's links PEFT merges itself."""
    with pytest.warns(UserWarning, match="tie"):
        model = peft_model("opt", modules_to_save=["lm_head"], use_dora=dora)
    chain, optimizer = chained(model, Schedule(length=2), 4)
    train(model, chain, optimizer, 4)
    before, tied = logits(model), model.config.tie_word_embeddings
    export_merged(chain, tmp_path)
    assert model.config.tie_word_embeddings == tied
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert not loaded.config.tie_word_embeddings
    assert not torch.equal(loaded.lm_head.weight, loaded.model.decoder.embed_tokens.weight)
    torch.testing.assert_close(logits(loaded), before, rtol=1e-5, atol=1e-5)


def test_only_transformers_models_have_a_merged_checkpoint(tmp_path: Path) -> None:
    wrapped = get_peft_model(torch.nn.Sequential(torch.nn.Linear(4, 4)), LoraConfig(r=2, target_modules=["0"]))
    with pytest.raises(ColaError, match="Sequential is no transformers model"):
        export_merged(Chain(wrapped, Schedule(length=2), total_steps=2), tmp_path)
