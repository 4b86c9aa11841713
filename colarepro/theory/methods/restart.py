"""The control that isolates the merge: the optimizer restarts at every knot, and nothing else happens."""

from dataclasses import dataclass
from typing import ClassVar

from colarepro.chain import Schedule
from colarepro.theory.methods.adapter import AdapterMethod, AdapterState


@dataclass(frozen=True, kw_only=True)
class Restart(AdapterMethod):
    """LoRA whose optimizer state is dropped at the knots of a chain of ``length`` links; no merge, the same A and B.

    Gradient descent has no state: with it this is LoRA.
    """

    length: int = 4
    name: ClassVar[str] = "restart"
    merges: ClassVar[bool] = False

    def schedule(self, steps: int) -> Schedule:
        return Schedule(length=self.length)

    def tie(self, state: AdapterState) -> None:
        self.forget(state)
