"""The Frank-Wolfe gap against a search over the balls' vertices."""

import numpy as np
import pytest

from colarepro.anatomy.gap import frank_wolfe_gap


def test_the_gap_is_the_most_that_any_vertex_gains() -> None:
    """Brute force over the extreme points of the product of two balls of 2 × 2 matrices."""
    rng = np.random.default_rng(0)
    gradients, deltas = rng.standard_normal((2, 2, 2)), rng.standard_normal((2, 2, 2))
    radius = np.array([np.linalg.norm(delta, "nuc") for delta in deltas]) * [1.0, 1.5]
    turns = np.linspace(0, 2 * np.pi, 1001)
    circle = np.stack([np.cos(turns), np.sin(turns)], axis=1)
    best = 0.0
    for gradient, delta, tau in zip(gradients, deltas, radius, strict=True):
        vertices = -tau * np.einsum("ui,vj->uvij", circle, circle)
        best += np.einsum("ij,uvij->uv", gradient, delta - vertices).max()
    inner = np.array([[(gradient * delta).sum() for gradient, delta in zip(gradients, deltas, strict=True)]])
    largest = np.linalg.norm(gradients, 2, axis=(1, 2))[None]
    gap = frank_wolfe_gap(inner, largest, radius)
    assert gap.shape == (1,)
    assert gap[0] == pytest.approx(best, rel=1e-4)
    assert gap[0] >= best - 1e-12
