"""What a link is worth as an oracle, against equation (1) on dense matrices."""

import numpy as np
import pytest
import torch

from colarepro.anatomy.oracle import oracle
from colarepro.anatomy.slope import Slope
from colarepro.chain.target import Factors


def slope_of(gradient: np.ndarray) -> Slope:
    left, values, right = np.linalg.svd(gradient)
    parts = [torch.tensor(part).float() for part in (gradient, left[:, 0], right[0])]
    return Slope(parts[0], float(values[0]), parts[1], parts[2])


def test_an_oracle_is_judged_by_equation_1() -> None:
    """epsilon = <V, G> - min over the ball, V being the link stretched to the ball's boundary."""
    rng = np.random.default_rng(1)
    gradient, A, B = rng.standard_normal((6, 5)), rng.standard_normal((2, 5)), rng.standard_normal((6, 2))
    link = Factors(torch.tensor(A).float(), torch.tensor(B).float())
    answer = oracle(slope_of(gradient), link)
    tau, update = 3.0, B @ A
    vertex = tau * update / np.linalg.norm(update, "nuc")
    values = np.linalg.svd(gradient)[1]
    assert tau * answer.shortfall == pytest.approx((vertex * gradient).sum() + tau * values[0], rel=1e-5)
    assert answer.share == pytest.approx(answer.shortfall / values[0])
    left, _, right = np.linalg.svd(gradient)
    top = -np.outer(left[:, 0], right[0])
    assert answer.cosine_top == pytest.approx((top * update).sum() / np.linalg.norm(update), rel=1e-4)
    cosine = -(gradient * update).sum() / np.linalg.norm(update) / np.linalg.norm(gradient)
    assert answer.cosine_gradient == pytest.approx(cosine, rel=1e-4)


def test_the_best_vertex_is_an_exact_oracle_and_nothing_is_none() -> None:
    gradient = np.random.default_rng(2).standard_normal((6, 5))
    slope = slope_of(gradient)
    best = Factors(slope.right[None], -0.3 * slope.left[:, None])
    assert oracle(slope, best).share == pytest.approx(0, abs=1e-5)
    assert oracle(slope, best).cosine_top == pytest.approx(1, abs=1e-5)
    nothing = oracle(slope, Factors(best.A, torch.zeros_like(best.B)))
    assert np.isnan([nothing.shortfall, nothing.share, nothing.cosine_top, nothing.cosine_gradient]).all()
