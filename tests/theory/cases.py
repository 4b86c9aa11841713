"""Every method in several shapes, and small problems to run them on. Page: theory/README.md."""

from typing import Any

from colarepro.theory.method import Method
from colarepro.theory.methods import (
    AdamW,
    AsymmetricLora,
    BlockFrankWolfe,
    Cola,
    FrankWolfe,
    Full,
    GradientDescent,
    IdealizedCola,
    Lora,
    Pursuit,
    RacLora,
    ReLora,
    Restart,
)
from colarepro.theory.methods.chained_cola import ChainedCola
from colarepro.theory.problem import ProblemSpec
from colarepro.theory.problems import (
    CounterexampleSpec,
    DigitsSpec,
    FactorizationSpec,
    RegressionSpec,
    RobustSpec,
    SoftmaxSpec,
    TwoLayerSpec,
)

RADIUS = 2.0
REGRESSION = RegressionSpec(outputs=5, inputs=6, samples=40, rank=2, condition=3.0, noise=0.1, test_samples=20)
PROBLEMS: tuple[ProblemSpec, ...] = (
    REGRESSION,
    FactorizationSpec(rows=5, columns=6, rank=2),
    FactorizationSpec(rows=5, columns=6, rank=2, observed=0.6),
    CounterexampleSpec(),
    SoftmaxSpec(outputs=4, inputs=5, samples=40, rank=2, size=3.0, test_samples=20),
    RobustSpec(outputs=4, inputs=5, samples=40, rank=2, test_samples=20),
    TwoLayerSpec(outputs=3, inputs=4, hidden=4, samples=40, rank=2, test_samples=20),
    DigitsSpec(hidden=6, images=8),
)

# Each with the most that the rank of its update can be; None: as many as the matrix has.
METHODS: tuple[tuple[Method[Any], int | None], ...] = (
    (Full(), None),
    (Full(AdamW(0.05)), None),
    (Lora(rank=2), 2),
    (Lora(draw="gaussian", descent=AdamW(0.05)), 1),
    (AsymmetricLora(rank=2), 2),
    (AsymmetricLora(draw="gaussian", descent=AdamW(0.05)), 1),
    (Cola(length=2), 2),
    (Cola(length=2, initialization="same", draw="gaussian", descent=AdamW(0.05)), 2),
    (Cola(length=3, rank=2, weights="float32", descent=GradientDescent(0.5)), None),
    (ChainedCola(length=2), 2),
    (ChainedCola(length=2, initialization="same", descent=AdamW(0.05)), 2),
    (RacLora(), None),
    (RacLora(length=2), 2),
    (ReLora(length=2, descent=AdamW(0.05)), 2),
    (ReLora(length=2, warmup=3, prune=0.5, draw="orthonormal"), 2),
    (Restart(rank=2), 2),
    (Restart(length=3, descent=AdamW(0.05)), 1),
    (Pursuit(), None),
    (Pursuit(rank=2), None),
    (FrankWolfe(radius=RADIUS), None),
    (FrankWolfe(radius=RADIUS, rule="fixed"), None),
    (FrankWolfe(radius=RADIUS, rule="fixed-best"), None),
    (FrankWolfe(radius=RADIUS, rule="nonconvex"), None),
    (FrankWolfe(radius=RADIUS, rule="adaptive"), None),
    (FrankWolfe(radius=RADIUS, rule="exact"), None),
    (FrankWolfe(radius=RADIUS, rule="short", tolerance=1e-13), None),
    (FrankWolfe(radius=RADIUS, batch=12), None),
    (FrankWolfe(radius=RADIUS, batch=2, growing=True), None),
    (BlockFrankWolfe(radius=RADIUS), None),
    (BlockFrankWolfe(radius=RADIUS, rank=1, block_step=1.0, rule="adaptive"), None),
    (IdealizedCola(radius=RADIUS), None),
    (IdealizedCola(radius=RADIUS, rank=2, link_steps=3, rule="short"), None),
)


def label(value: object) -> str | None:
    """A short name of a method or a problem for the test's id."""
    if isinstance(value, Method):
        options = value.config()
        inner = options.get("optimizer", options.get("rule", ""))
        return f"{options['name']} {inner}".strip()
    return str(value.config()["name"]) if hasattr(value, "config") else None
