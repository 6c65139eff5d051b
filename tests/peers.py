"""timm, transformers, torchvision for parity tests: imported guardedly, since a broken one must not stop the suite."""

from __future__ import annotations

import warnings
from types import ModuleType

import pytest
import torch

from peer_models import import_peer


def peer(name: str) -> ModuleType:
    """The package, or a skip that says loudly why it is not there."""
    try:
        return import_peer(name)
    except Exception as error:
        with warnings.catch_warnings():  # where warnings are errors, this one must still only be shown
            warnings.simplefilter("always")
            warnings.warn(f"NO PARITY TEST: cannot import {name} ({error})", stacklevel=3)
        pytest.skip(f"cannot import {name} ({type(error).__name__}: {error}); pip install it for parity tests")


@torch.no_grad()
def randomise(model: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """Values that leave nothing at zero or one and keep activations near 1; evaluation mode."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        z = torch.randn(parameter.shape, generator=generator)
        if "norm" in name or ".ln" in name:
            parameter.copy_(0.1 * z + float(name.endswith("weight")))
        elif parameter.ndim >= 2 and name.endswith("weight"):
            parameter.copy_(z / parameter[0].numel() ** 0.5)
        else:
            parameter.copy_(0.2 * z)
    return model.eval()
