"""A chain on the decoder families that people have."""

from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from peft.tuners.lora import LoraLayer
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.pytorch_utils import Conv1D

from colarepro.chain import Chain, Schedule, export_merged
from colarepro.methods import Adapter
from colarepro.models.candidates import candidate_batch, candidate_scores
from colarepro.runs import RunConfig, perform
from tests.chain.models import adamw, logits, tokens
from tests.models.families import FAMILIES, LONGEST, random_model

RANKS, ALPHA = (4, 2, 1), 8
KNOTS, STEPS = (3, 6), 8


class Trained(NamedTuple):
    """A chain of three links with every link's factors, seen from outside, by layer: (A, B)."""

    chain: Chain
    links: list[dict[str, tuple[Tensor, Tensor]]]
    losses: list[float]


def factors(model: Any) -> dict[str, tuple[Tensor, Tensor]]:
    return {
        name.removeprefix("base_model.model."): (
            module.lora_A["default"].weight.detach().double(),
            module.lora_B["default"].weight.detach().double(),
        )
        for name, module in model.named_modules()
        if isinstance(module, LoraLayer)
    }


# PEFT sets this for Conv1D by itself and says so.
pytestmark = pytest.mark.filterwarnings("ignore:fan_in_fan_out is set to False:UserWarning")


@pytest.fixture(scope="module", params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def trained(family: str) -> Trained:
    """Three links whose rank steps down, each trained on one and the same batch."""
    model = Adapter(rank=RANKS[0], alpha=ALPHA, targets=FAMILIES[family].targets).attach(random_model(family)).train()
    optimizer = adamw(model, 2e-2)
    chain = Chain(model, Schedule(knot_steps=KNOTS, ranks=RANKS), total_steps=STEPS, optimizer=optimizer)
    batch, links, losses = tokens(), [], []
    for step in range(1, STEPS + 1):
        loss = model(input_ids=batch, labels=batch).loss
        loss.backward()
        optimizer.step()
        if step in (*KNOTS, STEPS):
            links.append(factors(model))
        chain.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return Trained(chain, links, losses)


def test_training_lowers_the_loss(trained: Trained) -> None:
    assert trained.losses[-1] < trained.losses[0]


def test_the_merged_weights_are_the_base_and_the_scaled_products(family: str, trained: Trained, tmp_path: Path) -> None:
    """In float64 and by hand, from what the links were; every other weight is the base's."""
    export_merged(trained.chain, tmp_path)
    merged = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    modules = dict(merged.named_modules())
    expected = {name: weight.double() for name, weight in random_model(family).state_dict().items()}
    for name in trained.links[0]:
        total = torch.zeros((), dtype=torch.float64)
        for link, rank in zip(trained.links, RANKS, strict=True):
            A, B = link[name]
            assert A.shape[0] == B.shape[1] == rank
            assert B.norm() > 0
            total = total + ALPHA / rank * torch.einsum("or,ri->oi", B, A)
        expected[f"{name}.weight"] += total.T if isinstance(modules[name], Conv1D) else total
    found = merged.state_dict()
    assert set(found) == set(expected)
    for name, weight in expected.items():
        torch.testing.assert_close(found[name].double(), weight, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(logits(merged), logits(trained.chain.model), rtol=1e-4, atol=1e-5)


def test_scores_by_label_rows_equal_the_full_computation(trained: Trained) -> None:
    """One padded pass and three rows of the output embedding, against the whole vocabulary without padding."""
    model = trained.chain.model
    prompts, candidates = [[2, 7, 9], [2, 5], [2, 8, 30, 11, 6, 40, 3]], [[3], [4], [20]]
    model.eval()
    with torch.no_grad():
        scores = candidate_scores(model, candidate_batch(prompts, candidates, pad=1), candidates).double()
        last = [model(input_ids=torch.tensor([prompt])).logits[:, -1].double() for prompt in prompts]
    model.train()
    whole = torch.cat(last).log_softmax(-1)
    full = whole[:, [token for (token,) in candidates]]
    torch.testing.assert_close(scores.log_softmax(1), full.log_softmax(1), rtol=0, atol=1e-6)


def test_a_fine_tuning_run_from_a_folder(family: str, untrained: str, miniature: Path, tmp_path: Path) -> None:
    """As a user has it: a model folder with its tokenizer, a task, a chain whose rank steps down."""
    tokenizer = AutoTokenizer.from_pretrained(untrained)
    tokenizer.save_pretrained(tmp_path)
    random_model(family, len(tokenizer)).save_pretrained(tmp_path)
    config = RunConfig(
        task="rte",
        model=str(tmp_path),
        data_dir=miniature,
        learning_rate=2e-2,
        epochs=6,
        batch_size=8,
        train_examples=8,  # one batch, so that the losses of two steps can be compared
        dev_examples=4,
        test_examples=4,
        max_length=LONGEST,
        adapter=Adapter(rank=RANKS[0], alpha=ALPHA, targets=FAMILIES[family].targets),
        chain=Schedule(length=3, ranks=RANKS),
    )
    record = perform(config)
    assert record.status == "done"
    assert record.curves["knots"] == [2, 4]
    assert record.curves["loss"][-1] < record.curves["loss"][0]
