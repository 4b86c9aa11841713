"""COLA: a chain of adapters, tied by `colarepro.chain`, the code that the language-model half runs."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from colarepro.chain import Schedule
from colarepro.theory.methods.adapter import AdapterMethod


@dataclass(frozen=True, kw_only=True)
class Cola(AdapterMethod):
    """``length`` links of equal numbers of steps; ``initialization`` is each link's A: fresh, or the first again."""

    length: int = 4
    initialization: Literal["fresh", "same"] = "fresh"
    name: ClassVar[str] = "cola"

    def schedule(self) -> Schedule:
        return Schedule(length=self.length, initialization=self.initialization)
