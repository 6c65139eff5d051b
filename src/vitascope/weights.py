"""What tells one model from another: every weight, by its name, kind and value."""

from __future__ import annotations

import hashlib

import torch
from torch import nn


def model_fingerprint(model: nn.Module) -> str:
    """SHA-256 of a model's class, config and all its tensors, in hexadecimal."""
    digest = hashlib.sha256(repr((type(model).__name__, getattr(model, "config", None))).encode())
    for name, tensor in model.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().reshape(-1).contiguous().view(torch.uint8).numpy().data)
    return digest.hexdigest()
