"""What changes during training, as pure functions of the step: the learning rate, how many tokens are dropped.

The rate warms up linearly, then falls like a cosine, linearly (Tables 3 and 4) or in stairs (BiT).
"""

from __future__ import annotations

import math

from vitascope.training.train_settings import TrainSettings

_STAIRS = (0.3, 0.6, 0.9)
"""Shares of a run at which BiT's rate falls to a tenth."""


def learning_rate(settings: TrainSettings, steps: int, step: float) -> float:
    """Of the step with this number, counted from 0, of a run of `steps`; a step may stand between two others.

    The first already learns, at lr / warm-up; at `steps` the rate would reach `end_lr`.
    """
    peak, warmup = settings.lr, warmup_steps(settings, steps)
    if step < warmup:
        return peak * (step + 1) / warmup
    if settings.decay == "constant":
        return peak
    if settings.decay == "stairs":
        return peak * 0.1 ** sum(step >= share * steps for share in _STAIRS)
    progress = min((step - warmup) / max(steps - warmup, 1), 1.0)
    left = 0.5 * (1 + math.cos(math.pi * progress)) if settings.decay == "cosine" else 1 - progress
    return settings.end_lr + (peak - settings.end_lr) * left


def warmup_steps(settings: TrainSettings, steps: int) -> int:
    """Steps of warm-up in a run of `steps`; those given as a number are half of the run at most."""
    if settings.warmup < 1:
        return round(settings.warmup * steps)
    return min(int(settings.warmup), math.ceil(steps / 2))


def dropped_share(settings: TrainSettings, step: float, steps: int) -> float:
    """Share of the patches that is left out in this step, counted from 0, of a run of `steps`."""
    return settings.drop_tokens if step < settings.drop_tokens_for * steps else 0.0
