"""Perplexity against a computation token by token."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from colarepro.anatomy.perplexity import perplexity, read_text, tokens_of
from colarepro.errors import ColaError
from colarepro.models import load
from tests.chain.models import VOCABULARY, base_model, peft_model


@torch.no_grad()
def token_by_token(model: Any, tokens: torch.Tensor, window: int) -> float:
    losses = []
    for place in range(len(tokens)):
        start = place - place % window
        if place > start:
            logits = model(input_ids=tokens[None, start:place]).logits[0, -1]
            losses.append(-logits.log_softmax(-1)[tokens[place]].item())
    return math.exp(sum(losses) / len(losses))


@pytest.mark.parametrize("count", [30, 31, 33, 4, 8, 70])  # with rests of none, one (of which none is predicted), more
def test_it_is_the_mean_over_all_predicted_tokens(count: int) -> None:
    model = base_model().eval()
    tokens = torch.randint(0, VOCABULARY, (count,), generator=torch.Generator().manual_seed(0))
    assert perplexity(model, tokens, 6) == pytest.approx(token_by_token(model, tokens, 6), rel=1e-5)


def test_a_ruined_model_is_infinitely_perplexed() -> None:
    model = base_model().eval()
    model.get_output_embeddings().weight.data.mul_(1e6)
    assert perplexity(model, torch.arange(20), 10) == math.inf


def test_a_window_is_no_longer_than_the_models_positions() -> None:
    model = base_model("opt").eval()  # 64 positions
    tokens = torch.randint(0, VOCABULARY, (150,), generator=torch.Generator().manual_seed(0))
    assert perplexity(model, tokens, 1024) == perplexity(model, tokens, 64)


def test_a_link_of_nothing_forgets_nothing() -> None:
    """And one of something does: B is zero at first, so the adapted model is the base."""
    tokens = torch.randint(0, VOCABULARY, (40,), generator=torch.Generator().manual_seed(0))
    adapted = peft_model().eval()
    assert perplexity(adapted, tokens, 16) == perplexity(base_model().eval(), tokens, 16)
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            parameter.data.fill_(0.5)
    assert perplexity(adapted, tokens, 16) != perplexity(base_model().eval(), tokens, 16)


def test_a_text_is_cut_to_its_first_tokens(untrained: str) -> None:
    tokenizer = load(untrained).tokenizer
    text = "The cat is on the mat. " * 100
    whole = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    assert tokens_of(text, tokenizer, 50).tolist() == whole[:50]
    assert tokens_of(text, tokenizer, 10**6).tolist() == whole
    with pytest.raises(ColaError, match="0 tokens for perplexity; expected at least 2"):
        tokens_of("", tokenizer, 50)


def test_a_text_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ColaError, match=r"none\.txt could not be read: No such file"):
        read_text(tmp_path / "none.txt")
    (tmp_path / "bytes.txt").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(ColaError, match=r"bytes\.txt could not be read: it is not UTF-8"):
        read_text(tmp_path / "bytes.txt")

    def refused(*_: Any, **__: Any) -> None:
        raise ConnectionError("no network")

    monkeypatch.setattr("datasets.load_dataset", refused)
    with pytest.raises(ColaError, match=r"could not be read from the hub \(ConnectionError\); give a file with --text"):
        read_text(None)
