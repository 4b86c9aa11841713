"""Every arm trains what it says, and differs from its neighbour in one ingredient."""

import dataclasses
from pathlib import Path

import pytest
import torch

from colarepro.chain import Schedule
from colarepro.errors import ColaError
from colarepro.methods import METHODS, OPTIONAL, Adapter, method
from colarepro.methods.prepared import Prepared
from colarepro.runs import RunConfig, perform
from tests.chain.models import base_model

WIDTH, VALUE, LAYERS = 16, 8, 2  # of the tiny Llama: q is 16 x 16, v is 8 x 16
ADAPTER = Adapter(rank=4, alpha=8)
SCHEDULE = Schedule(knot_steps=(3,))


def prepare(name: str, schedule: Schedule = SCHEDULE) -> Prepared:
    prepare = method(name).prepare
    assert prepare is not None
    return prepare(base_model(), ADAPTER, schedule, 0)


def trained(name: str, schedule: Schedule = SCHEDULE) -> dict[str, int]:
    """Numbers of trained entries by the last part of the parameter's name."""
    counts: dict[str, int] = {}
    for key, parameter in prepare(name, schedule).model.named_parameters():
        if parameter.requires_grad:
            kind = "A" if "lora_A" in key else "B" if "lora_B" in key else "weight"
            counts[kind] = counts.get(kind, 0) + parameter.numel()
    return counts


def test_what_is_trained() -> None:
    A, B = LAYERS * 4 * (WIDTH + WIDTH), LAYERS * 4 * (WIDTH + VALUE)
    for name in ("lora", "cola", "lora-restart", "relora"):
        assert trained(name) == {"A": A, "B": B}, name
    for name in ("asym-lora", "rac-lora"):
        assert trained(name) == {"B": B}, name
    assert trained("lora-rank-sum") == {"A": 2 * A, "B": 2 * B}
    assert trained("lora-rank-sum", Schedule(length=2, ranks=(4, 1))) == {"A": A * 5 // 4, "B": B * 5 // 4}
    assert trained("full") == {"weight": sum(p.numel() for p in base_model().parameters())}


@pytest.mark.parametrize(("variant", "scaling"), [("lora", 8 / 4), ("rslora", 8 / 4**0.5), ("dora", 8 / 4)])
@pytest.mark.parametrize("ranks", [(), (4, 1, 7)])
def test_the_summed_rank_keeps_the_scaling(variant: str, scaling: float, ranks: tuple[int, ...]) -> None:
    prepare = method("lora-rank-sum").prepare
    assert prepare is not None
    adapter = dataclasses.replace(ADAPTER, variant=variant)
    prepared = prepare(base_model(), adapter, Schedule(length=3, ranks=ranks), 0)
    layer = prepared.model.base_model.model.model.layers[0].self_attn.q_proj
    assert layer.r["default"] == 12
    assert layer.scaling["default"] == pytest.approx(scaling)


@pytest.mark.parametrize("name", METHODS)
def test_an_arms_question_holds_what_it_reads(name: str) -> None:
    asked = set(RunConfig(task="rte", method=name).question())
    assert asked & OPTIONAL == set(METHODS[name].reads)
    assert {"task", "data", "method", "model", "data_seed", "protocol", "dtype"} < asked


@pytest.mark.parametrize("name", ["asym-lora", "rac-lora"])
def test_an_adapter_without_A_cannot_freeze_it(name: str) -> None:
    prepare = method(name).prepare
    assert prepare is not None
    with pytest.raises(ColaError, match="no factor A to freeze"):
        prepare(base_model(), dataclasses.replace(ADAPTER, variant="loha"), SCHEDULE, 0)


def test_an_unknown_method_is_named_with_those_there_are() -> None:
    with pytest.raises(ColaError, match=r"Unknown method 'colla'; expected one of full, lora, cola, lora-restart"):
        method("colla")


@pytest.fixture
def config(untrained: str, miniature: Path) -> RunConfig:
    return RunConfig(
        task="rte",
        model=untrained,
        data_dir=miniature,
        epochs=2,
        train_examples=24,
        dev_examples=16,
        test_examples=20,
        learning_rate=1e-2,
        chain=SCHEDULE,
    )


def losses(config: RunConfig, name: str) -> list[float]:
    record = perform(dataclasses.replace(config, method=name))
    assert record.status == "done"
    return record.curves["loss"]


def test_arms_part_where_their_ingredient_enters(config: RunConfig) -> None:
    """Six steps, knot after the third: the same draws before it, in every arm with the same trained factors."""
    found = {name: losses(config, name) for name, each in METHODS.items() if each.prepare is not None}
    for name in ("cola", "relora"):
        assert found[name][:3] == found["lora"][:3], name
        # Merged and begun anew at zero: the function is the same, its next step is not.
        assert found[name][3] == pytest.approx(found["lora"][3], rel=1e-5)
        assert found[name][4:] != found["lora"][4:]
    assert found["rac-lora"][:3] == found["asym-lora"][:3]
    assert found["rac-lora"][3] == pytest.approx(found["asym-lora"][3], rel=1e-5)
    assert found["rac-lora"][4:] != found["asym-lora"][4:]
    assert found["asym-lora"][0] == found["lora"][0]
    assert found["asym-lora"][2:] != found["lora"][2:]
    assert found["lora-rank-sum"][0] == pytest.approx(found["lora"][0])
    assert found["lora-rank-sum"][2:] != found["lora"][2:]
    # The restarted learning rate falls twice as fast, so already the second step differs.
    assert found["lora-restart"][0] == found["lora"][0]
    assert found["lora-restart"][2:] != found["lora"][2:]
    assert all(torch.isfinite(torch.tensor(curve)).all() for curve in found.values())
