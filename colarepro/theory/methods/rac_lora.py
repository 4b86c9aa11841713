"""RAC-LoRA: a chain that trains one factor of each link, with a projected step."""

from dataclasses import dataclass, field
from typing import ClassVar

from colarepro.chain import Schedule
from colarepro.theory.methods.adapter import AdapterMethod
from colarepro.theory.methods.descent import Descent, GradientDescent


@dataclass(frozen=True, kw_only=True)
class RacLora(AdapterMethod):
    """W <- W - gamma G H with H the projection on the row space of a fresh random A (arXiv 2410.08305, eq. 4).

    The paper draws a Gaussian A and multiplies by (A A^T)^+. Here A gets orthonormal rows, whose space has the
    same law, and gradient descent on B alone from B = 0 is that step. ``length`` links of several steps each;
    None draws anew at every step, as the paper's theorems have it.
    """

    draw: str = "orthonormal"
    descent: Descent = field(default_factory=lambda: GradientDescent(smoothness="problem"))
    length: int | None = None
    name: ClassVar[str] = "rac-lora"
    trains_A: ClassVar[bool] = False

    def schedule(self, steps: int) -> Schedule:
        return Schedule(length=steps if self.length is None else self.length)
