"""The time of a step."""

import statistics
import time

import torch

from colarepro.bench.setting import Setting


def wait(device: str) -> None:
    """Until the device has computed what it was given."""
    if device != "cpu":
        torch.cuda.synchronize(device)


class Clock:
    """Marks the ends of steps; the first steps are warm-up."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.marks: list[float] = []
        self.count = 0

    def tick(self) -> None:
        """A step has ended."""
        self.count += 1
        past = self.count - (self.setting.total_steps - self.setting.steps * self.setting.repeats)
        if past >= 0 and past % self.setting.steps == 0:
            wait(self.setting.device)
            self.marks.append(time.perf_counter())

    @property
    def seconds(self) -> float:
        """Of one step, the median over the repeats."""
        spans = [after - before for before, after in zip(self.marks, self.marks[1:], strict=False)]
        return statistics.median(spans) / self.setting.steps
