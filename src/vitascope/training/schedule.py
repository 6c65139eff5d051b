"""What changes during training, as pure functions of the step: the learning rate, how many tokens are dropped.

The rate warms up linearly, then falls like a cosine or linearly (Tables 3 and 4).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from vitascope.training.settings import TrainSettings


@dataclass(frozen=True)
class Schedule:
    """`schedule(step)` is the learning rate of the step with this number, counted from 0; between two it may stand."""

    peak: float
    """Learning rate at the end of the warm-up."""
    steps: int
    """All steps; the rate would reach `end` at this one."""
    warmup: int
    """Steps of linear warm-up; the first already learns, at peak / warmup."""
    decay: str
    """"cosine", "linear" or "constant"."""
    end: float
    """Learning rate at the end."""

    def __call__(self, step: float) -> float:
        if step < self.warmup:
            return self.peak * (step + 1) / self.warmup
        if self.decay == "constant":
            return self.peak
        progress = min((step - self.warmup) / max(self.steps - self.warmup, 1), 1.0)
        left = 0.5 * (1 + math.cos(math.pi * progress)) if self.decay == "cosine" else 1 - progress
        return self.end + (self.peak - self.end) * left


def schedule_of(settings: TrainSettings, steps: int) -> Schedule:
    """The schedule that `settings` describes for a run of `steps`."""
    return Schedule(settings.lr, steps, warmup_steps(settings, steps), settings.decay, settings.end_lr)


def warmup_steps(settings: TrainSettings, steps: int) -> int:
    """Steps of warm-up in a run of `steps`; those given as a number are half of the run at most."""
    if settings.warmup < 1:
        return round(settings.warmup * steps)
    return min(int(settings.warmup), math.ceil(steps / 2))


def dropped_share(settings: TrainSettings, step: float, steps: int) -> float:
    """Share of the patches that is left out in this step, counted from 0, of a run of `steps`."""
    return settings.drop_tokens if step < settings.drop_tokens_for * steps else 0.0
