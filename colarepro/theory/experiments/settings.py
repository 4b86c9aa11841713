"""How much is run: three sizes, and what a user may change."""

from dataclasses import dataclass

from colarepro.errors import ColaError


@dataclass(frozen=True)
class Settings:
    """Every method of an experiment gets the same number of full gradients, unless the experiment says otherwise."""

    seeds: int = 20
    """Seeds of every experiment."""
    steps: int = 480
    """Gradient evaluations of a convergence run; the other experiments' budgets are fixed shares of it."""
    points: int = 20
    """Measurements along a convergence run."""
    horizon: int = 450
    """Theorem 4.1 is checked for every T from 1 to this: 450 makes 101 475 iterates a case."""
    rates: tuple[float, ...] = (0.01, 0.03, 0.1, 0.3)
    """Learning rates among which an arm with AdamW chooses, on seeds of its own; a single one is not tuned."""
    longest_chain: int = 8
    """Chain lengths 1 to this are compared, and LoRA of ranks 1 to this."""

    def check(self) -> None:
        """Raise `ColaError` for a size that no experiment can have."""
        if self.seeds < 2 or self.horizon < 4 or self.steps < 80:
            raise ColaError(
                f"{self.seeds} seeds, a horizon of {self.horizon} and {self.steps} steps were asked for; expected at "
                "least 2, 4 and 80."
            )
        if self.seeds > 10_000 or self.horizon > 10_000 or self.steps > 1_000_000:
            raise ColaError(
                f"{self.seeds} seeds, a horizon of {self.horizon} and {self.steps} steps were asked for; expected at "
                "most 10000, 10000 and 1000000."
            )
        if not 1 <= self.points <= 10_000:
            raise ColaError(f"{self.points} points were asked for; expected 1 to 10000.")
        if not self.rates or not all(0 < rate < float("inf") for rate in self.rates):
            raise ColaError(f"The learning rates are {self.rates}; expected at least one, each finite and above 0.")
        if not 2 <= self.longest_chain <= 12:
            raise ColaError(
                f"The longest chain is {self.longest_chain}; expected 2 to 12, the rank of the regression's weight."
            )


QUICK = Settings(seeds=2, steps=80, points=4, horizon=24, rates=(0.1,), longest_chain=4)
FULL = Settings(seeds=100, steps=2000, horizon=1000, longest_chain=12)
