"""What one run of a fleet has been through."""

from dataclasses import dataclass, field

from colarepro.runs.costs import Fed


@dataclass
class Course:
    """Losses of every step, judgements of every epoch, and what was fed."""

    losses: list[float] = field(default_factory=list)
    dev_steps: list[int] = field(default_factory=list)
    dev_losses: list[float] = field(default_factory=list)
    dev_accuracies: list[float] = field(default_factory=list)
    fed: Fed = field(default_factory=Fed)
    reason: str = ""
    """Why the run ended early; empty if it did not."""

    @property
    def best_judgement(self) -> int:
        """Index of the one with the lowest loss, the first of them."""
        return self.dev_losses.index(min(self.dev_losses))
