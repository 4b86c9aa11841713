"""Chains over weights in narrow types. Page: theory/finite-precision.md."""

import math

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn

from colarepro.chain import Chain, Schedule
from colarepro.theory.method import minimize
from colarepro.theory.methods import Cola
from colarepro.theory.methods.adapter import AdapterState
from colarepro.theory.methods.cola import DTYPES
from colarepro.theory.problem import Problem
from colarepro.theory.problems import RegressionSpec
from colarepro.theory.trace import Status
from tests.theory.cases import REGRESSION

LINKS = 50
SMALL = RegressionSpec(outputs=6, inputs=8, samples=40, rank=2, size=0.1, test_samples=1)  # each link moves little
# Bits of the significand (the hidden one included), the least exponent of a normal number, and the largest number.
FORMATS = {"float32": (24, -126, 3.4028234663852886e38), "float16": (11, -14, 65504.0), "bfloat16": (8, -126, 3.39e38)}


def rounded(values: np.ndarray, weights: str) -> np.ndarray:
    """To the nearest number of a binary format, ties to even, by scaling with powers of two and no cast."""
    bits, least, _ = FORMATS[weights]
    exponent = np.maximum(np.frexp(values)[1] - 1, least)
    unit = np.ldexp(1.0, exponent - bits + 1)
    return np.round(values / unit) * unit


class Watched(Cola):
    """A chain that keeps what its knots merge: A, B and the frozen weight after it, link by link."""

    def tie(self, state: AdapterState) -> None:
        A, B = state.A.detach().clone(), state.B.detach().clone()
        super().tie(state)
        vars(self).setdefault("links", []).append((A, B, state.base.clone()))


def chained(problem: Problem, method: Cola, steps: int) -> AdapterState:
    """The state after some steps."""
    state = method.init(problem, steps, range(problem.count))
    for _ in range(steps):
        state = method.step(problem, state)
    return state


def lost(problem: Problem, method: Cola) -> np.ndarray:
    """The share of the sum of all links (Frobenius) that the merged weight does not have."""
    last = chained(problem, method, 2 * LINKS)
    moved = last.base - problem.start.to(DTYPES[method.weights]).double()
    miss = torch.linalg.matrix_norm(moved - last.total) / torch.linalg.matrix_norm(last.total)
    return miss.numpy()


@pytest.mark.parametrize("weights", FORMATS)
def test_the_rounding_is_that_of_the_format(weights: str) -> None:
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(10_000, dtype=torch.float64, generator=generator)
    values = torch.cat(
        [values, values * 1e-4, values * 1e-7, torch.tensor([1 + 2.0**-8, 1 + 3 * 2.0**-8, 1 + 2.0**-11])]
    )
    cast = values.to(DTYPES[weights]).double().numpy()
    np.testing.assert_array_equal(rounded(values.numpy(), weights), cast)


@pytest.mark.parametrize("master", [True, False])
@pytest.mark.parametrize("weights", FORMATS)
def test_a_knot_rounds_the_sum_once_or_every_link_by_itself(weights: str, master: bool) -> None:
    problem = SMALL.draw([0, 1])
    method = Watched(length=LINKS, rank=2, weights=weights, master=master)
    chained(problem, method, 2 * LINKS)
    start = rounded(problem.start.numpy(), weights)
    base, total = start, np.zeros_like(start)
    links = vars(method)["links"]
    assert len(links) == LINKS - 1
    for A, B, merged in links:
        update = (B @ A).numpy()
        total = total + update
        base = rounded(start + total, weights) if master else rounded(base + rounded(update, weights), weights)
        np.testing.assert_array_equal(merged.numpy(), base)
    assert abs(total).max() > 0.01


def test_without_a_master_copy_the_narrower_type_loses_more_of_the_update() -> None:
    problem = SMALL.draw([0, 1, 2])
    shares = {
        (weights, master): lost(problem, Cola(length=LINKS, rank=2, weights=weights, master=master))
        for weights in DTYPES
        for master in (True, False)
    }
    for weights in ("bfloat16", "float16", "float32"):
        assert (shares[weights, False] > 2 * shares[weights, True]).all()
    assert (shares["bfloat16", False] > 0.2).all()
    assert (shares["bfloat16", False] > 2 * shares["float16", False]).all()
    assert (shares["float16", True] < 0.05).all()
    assert max(shares["float32", False].max(), shares["float32", True].max()) < 1e-4
    assert max(shares["float64", False].max(), shares["float64", True].max()) < 1e-13


def test_with_a_master_copy_the_error_does_not_grow_with_the_links() -> None:
    problem, half = SMALL.draw([0, 1]), 2.0**-8  # half a unit in the last place of bfloat16, relative
    for links in (2, 10, 50):
        state = chained(problem, Cola(length=links, weights="bfloat16"), 100)
        exact = problem.start.bfloat16().double() + state.total
        assert bool(((state.base - exact).abs() <= half * exact.abs()).all())


class Model(nn.Module):
    """A single linear layer in some dtype, for PEFT."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.linear = nn.Linear(weight.shape[1], weight.shape[0], bias=False, dtype=weight.dtype)
        self.linear.weight.data.copy_(weight)

    def forward(self, inputs: Tensor) -> Tensor:
        output: Tensor = self.linear(inputs)
        return output


@pytest.mark.parametrize("weights", ["bfloat16", "float16", "float32"])
def test_the_chain_of_language_models_merges_what_the_master_copy_merges(weights: str) -> None:
    """The links that `Cola` trains, put by hand into PEFT's layer over a narrow weight, with a knot after each."""
    problem = SMALL.draw([0])
    method = Watched(length=20, rank=2, weights=weights)
    chained(problem, method, 60)
    model = get_peft_model(
        Model(problem.start[0].to(DTYPES[weights])), LoraConfig(r=2, lora_alpha=2, target_modules=["linear"])
    )
    layer = model.base_model.model.linear
    chain = Chain(model, Schedule(length=20), total_steps=60)
    different = 0.0
    for A, B, expected in vars(method)["links"]:
        layer.lora_A["default"].weight.data.copy_(A[0])
        layer.lora_B["default"].weight.data.copy_(B[0])
        chain.tie()
        merged = layer.get_base_layer().weight.detach()
        assert merged.dtype == DTYPES[weights]
        # The chain sums float32 factors in float32: the same number, but for a tie now and then.
        off = (merged.double() - expected[0]).abs()
        assert bool((off <= 2 * torch.finfo(DTYPES[weights]).eps * expected[0].abs().clamp(min=0.1)).all())
        different += float((off > 0).double().mean()) / 19
    assert different < {"bfloat16": 1e-3, "float16": 0.02, "float32": 1}[weights]


@pytest.mark.parametrize("weights", DTYPES)
def test_every_frozen_weight_is_a_number_of_its_type(weights: str) -> None:
    problem, method = SMALL.draw([0]), Watched(length=5, weights=weights, master=False)
    state = chained(problem, method, 20)
    for base in (method.init(problem, 20, [0]).base, *(base for _, _, base in vars(method)["links"])):
        assert torch.equal(base.to(DTYPES[weights]).double(), base)
    assert state.base.dtype == state.total.dtype == torch.float64


def test_a_weight_that_float16_cannot_hold_is_a_divergence_and_no_warning() -> None:
    problem = REGRESSION.draw([0, 1])
    problem.start = problem.start.clone()
    problem.start[1, 0, 0] = 1e5
    run = minimize(problem, Cola(length=2, weights="float16"), steps=10)
    assert run.status == [Status.DONE, Status.DIVERGED]
    assert run.ended_at[1] == 0
    assert not math.isfinite(run.trace.loss[0][1])
