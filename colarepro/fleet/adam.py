"""AdamW (Loshchilov & Hutter 2019, without weight decay) for many runs at once, each at its own rate and step."""

import torch
from torch import Tensor

from colarepro.fleet.arm import Arm
from colarepro.fleet.stack import Stack

BETAS = 0.9, 0.999
EPSILON = 1e-8
LARGEST_NORM = 1.0
"""To which a run's gradient is clipped; the Trainer's default."""


class Adam:
    """What depends on a step alone is laid out beforehand: learning rates, and bias corrections since the last knot."""

    def __init__(self, arms: list[Arm], device: str) -> None:
        steps = arms[0].plan.total_steps
        counts = torch.tensor([_steps_since_reset(arm, steps) for arm in arms], dtype=torch.float64)
        first, second = (1 - torch.as_tensor(beta, dtype=torch.float64) ** counts for beta in BETAS)
        self.rates = torch.tensor([arm.learning_rates() for arm in arms], dtype=torch.float64)
        """Of every run and step, (runs, steps)."""
        self._steps = (self.rates / first).T.to(device, torch.float32)  # (steps, runs)
        self._roots = second.sqrt().T.to(device, torch.float32)
        # On a GPU one kernel instead of ten.
        self._update = torch.compile(_update, dynamic=True) if device.startswith("cuda") else _update

    @torch.no_grad()
    def step(self, stack: Stack, number: Tensor) -> None:
        """Clip each run's gradient and update; ``number`` counts steps from 0, int64 (1,)."""
        step, root = (table.index_select(0, number).T for table in (self._steps, self._roots))
        self._update(stack.values, stack.gradients, stack.first, stack.second, step, root)
        stack.round()


def _update(values: Tensor, gradients: Tensor, first: Tensor, second: Tensor, step: Tensor, root: Tensor) -> None:
    """All (runs, numbers), but ``step`` and ``root``, the bias corrections' part, (runs, 1)."""
    norms = gradients.norm(dim=1, keepdim=True)
    clipped = gradients * (LARGEST_NORM / (norms + 1e-6)).clamp(max=1.0)
    first.lerp_(clipped, 1 - BETAS[0])
    second.mul_(BETAS[1]).addcmul_(clipped, clipped, value=1 - BETAS[1])
    values.sub_(first * step / (second.sqrt() / root + EPSILON))


def _steps_since_reset(arm: Arm, steps: int) -> list[int]:
    """Adam's own count at every step, from 1; dropping the state at a knot begins it anew, pruning does not."""
    resets = arm.plan.knots if arm.schedule.reset == "drop" else ()
    counts, count = [], 0
    for step in range(steps):
        count = 1 if step in resets else count + 1
        counts.append(count)
    return counts
