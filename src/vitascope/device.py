"""Which processor computes: the one asked for, or the GPU if there is one."""

from __future__ import annotations

import torch

from vitascope.errors import ConfigError


def resolve_device(name: str | torch.device | None) -> torch.device:
    """`name`, or None for the GPU if there is one, otherwise the CPU; raises `ConfigError` if it is not there."""
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"device {str(name)!r} cannot be used here ({reason}); use cpu, or leave it out") from error
    return device
