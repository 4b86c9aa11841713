"""AdamW (Loshchilov & Hutter 2019, without weight decay) for many runs at once, each at its own rate and step."""

import torch

from colarepro.fleet.adapters import Adapters
from colarepro.fleet.arm import Arm

BETAS = 0.9, 0.999
EPSILON = 1e-8
LARGEST_NORM = 1.0
"""To which a run's gradient is clipped; the Trainer's default."""


class Adam:
    """What depends on a step alone is laid out beforehand: learning rates, and bias corrections since the last knot."""

    def __init__(self, arms: list[Arm], device: str) -> None:
        steps = arms[0].plan.total_steps
        rates = torch.tensor([arm.learning_rates() for arm in arms], dtype=torch.float64)
        counts = torch.tensor([_steps_since_reset(arm, steps) for arm in arms], dtype=torch.float64)
        first, second = (1 - torch.as_tensor(beta, dtype=torch.float64) ** counts for beta in BETAS)
        self.rates = rates
        self._steps = (rates / first).T.to(device, torch.float32)  # (steps, runs)
        self._roots = second.sqrt().T.to(device, torch.float32)

    @torch.no_grad()
    def step(self, adapters: Adapters, number: torch.Tensor) -> None:
        """Clip each run's gradient and update; ``number`` counts steps from 0, int64 (1,)."""
        runs = len(adapters.arms)
        gradients, first, second = adapters.gradients, adapters.first, adapters.second
        norms = gradients.view(runs, -1).norm(dim=1)
        gradients.view(runs, -1).mul_((LARGEST_NORM / (norms + 1e-6)).clamp(max=1.0).unsqueeze(1))
        first.lerp_(gradients, 1 - BETAS[0])
        second.mul_(BETAS[1]).addcmul_(gradients, gradients, value=1 - BETAS[1])

        def by_run(table: torch.Tensor) -> torch.Tensor:
            """The step's row of a table, a value a row of the adapters."""
            values = table.index_select(0, number).view(runs, 1, 1)
            return values.expand(runs, adapters.rows_each, 1).reshape(-1, 1)

        denominators = (second.sqrt() / by_run(self._roots)).add_(EPSILON)
        adapters.values.sub_(first * by_run(self._steps) / denominators)
        adapters.contain()
        adapters.round()


def _steps_since_reset(arm: Arm, steps: int) -> list[int]:
    """Adam's own count at every step, from 1; dropping the state at a knot begins it anew, pruning does not."""
    resets = arm.plan.knots if arm.schedule.reset == "drop" else ()
    counts, count = [], 0
    for step in range(steps):
        count = 1 if step in resets else count + 1
        counts.append(count)
    return counts
