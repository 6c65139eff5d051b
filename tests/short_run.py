"""A run of five steps, its weights beside another's, and a clock for runs that end by the time."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from vitascope.training import loop

BASE: dict[str, Any] = {"steps": 5, "lr": 0.01, "log_every": 2, "eval_every": 2, "save_every": 2}


def weights(model: Path) -> dict[str, torch.Tensor]:
    return load_file(model / "model.safetensors")


def differ(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() != b.keys() or any(not torch.equal(a[name], b[name]) for name in a)


class Clock:
    """Time that passes in training steps alone: each takes `step` seconds."""

    def __init__(self, patch: pytest.MonkeyPatch, step: float, stop_at: int = 0) -> None:
        self.now, real = 1000.0, loop.training_step

        def training_step(job: Any, state: Any, *rest: Any) -> None:
            real(job, state, *rest)
            self.now += step
            if state.counters.step == stop_at:
                os.kill(os.getpid(), signal.SIGTERM)

        patch.setattr(loop, "training_step", training_step)
        patch.setattr(time, "monotonic", lambda: self.now)
