"""A run of five steps, and its weights beside another's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

BASE: dict[str, Any] = {"steps": 5, "lr": 0.01, "log_every": 2, "eval_every": 2, "save_every": 2}


def weights(model: Path) -> dict[str, torch.Tensor]:
    return load_file(model / "model.safetensors")


def differ(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() != b.keys() or any(not torch.equal(a[name], b[name]) for name in a)
