"""The loss by verbalizers against a computation with one sequence at a time and no padding."""

import pytest
import torch
from torch.nn.functional import cross_entropy
from transformers import MambaConfig, MambaForCausalLM, PreTrainedModel

from colarepro.models.candidates import candidate_batch, candidate_scores
from tests.chain.models import base_model

PROMPTS = [[2, 7, 9], [2, 5], [2, 8, 30, 11, 6]]
LABELS = torch.tensor([1, 0, 1])


def one_by_one(model: PreTrainedModel, candidates: list[list[int]]) -> torch.Tensor:
    """Mean log-probability of each candidate's tokens, from the full vocabulary at every position."""
    rows = []
    for prompt in PROMPTS:
        scores = []
        for candidate in candidates:
            logits = model(input_ids=torch.tensor([prompt + candidate])).logits[0].log_softmax(-1)
            positions = range(len(prompt) - 1, len(prompt) + len(candidate) - 1)
            scores.append(torch.stack([logits[p, token] for p, token in zip(positions, candidate, strict=True)]).mean())
        rows.append(torch.stack(scores))
    return torch.stack(rows)


@pytest.mark.parametrize("family", ["opt", "llama", "gpt2"])
@pytest.mark.parametrize("candidates", [[[3], [4]], [[3, 5], [4]], [[3, 5, 6], [4, 1, 2]]], ids=str)
def test_loss_and_gradient_equal_the_full_computation(family: str, candidates: list[list[int]]) -> None:
    model = base_model(family).eval()
    losses, gradients = [], []
    batch = candidate_batch(PROMPTS, candidates, pad=1)
    for scores in (candidate_scores(model, batch, candidates), one_by_one(model, candidates)):
        loss = cross_entropy(scores, LABELS)
        gradients.append(torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(model.parameters()))]))
        losses.append(loss.detach())
    torch.testing.assert_close(losses[0], losses[1], rtol=1e-6, atol=1e-6)
    assert (gradients[0] - gradients[1]).norm() < 1e-5 * gradients[1].norm()


class OtherLinear(torch.nn.Linear):
    """A linear layer of another type, as an adapter would be."""


@pytest.mark.parametrize("family", ["opt", "llama", "gpt2"])
def test_only_the_label_rows_of_the_output_embedding_are_computed(family: str) -> None:
    model = base_model(family).eval()
    head, names = model.get_output_embeddings(), set(model.state_dict())
    sizes: list[torch.Size] = []
    model.register_forward_hook(lambda module, inputs, output: sizes.append(output.logits.shape))
    candidate_scores(model, candidate_batch(PROMPTS, [[3], [4]], pad=1), [[3], [4]])
    assert sizes == [(3, 1, 2)]
    assert model.get_output_embeddings() is head
    assert set(model.state_dict()) == names


def test_an_output_embedding_of_another_kind_is_computed_whole() -> None:
    model = base_model("llama").eval()
    batch = candidate_batch(PROMPTS, [[3], [4]], pad=1)
    expected = candidate_scores(model, batch, [[3], [4]])
    plain = model.get_output_embeddings()
    other = OtherLinear(plain.in_features, plain.out_features, bias=False)
    other.weight = plain.weight
    widths: list[int] = []
    other.register_forward_hook(lambda module, inputs, output: widths.append(output.shape[-1]))
    model.set_output_embeddings(other)
    torch.testing.assert_close(candidate_scores(model, batch, [[3], [4]]), expected)
    assert widths == [plain.out_features]


@pytest.mark.parametrize("kind", [torch.nn.Linear, OtherLinear])
def test_a_model_that_looks_the_output_embedding_up(kind: type[torch.nn.Linear]) -> None:
    """Mamba casts to the dtype of its weight. It has no attention, so padding on the left leaves zeros in its state."""
    torch.manual_seed(0)
    sizes = {"vocab_size": 50, "hidden_size": 16, "state_size": 4, "num_hidden_layers": 2, "pad_token_id": 1}
    model = MambaForCausalLM(MambaConfig(**sizes, tie_word_embeddings=False)).eval()
    model.lm_head.__class__ = kind
    expected = torch.stack([model(input_ids=torch.tensor([prompt])).logits[0, -1, [3, 4]] for prompt in PROMPTS])
    scores = candidate_scores(model, candidate_batch(PROMPTS, [[3], [4]], pad=1), [[3], [4]])
    torch.testing.assert_close(scores, expected, rtol=1e-4, atol=1e-6)
    assert (expected[0] - expected[1]).abs().min() > 1e-3


def test_the_model_is_whole_again_after_an_error() -> None:
    model = base_model("opt").eval()
    head = model.get_output_embeddings()
    with pytest.raises(ValueError, match="exactly one"):
        candidate_scores(model, {"no_such_input": torch.zeros(1)}, [[3], [4]])
    assert model.get_output_embeddings() is head
