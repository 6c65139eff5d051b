"""timm, transformers, torchvision for parity tests: imported guardedly, since a broken one must not stop the suite."""

from __future__ import annotations

import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

import vitascope as vs
from peer_models import import_peer
from tiny_checkpoint import same


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


def timm_written(ck: vs.Checkpoint, folder: Path) -> Any:
    """timm's model of what we write in its format, which comes back to us as it was."""
    vs.save(ck, folder, format="timm")
    again = vs.load(folder)
    assert again.config == ck.config
    assert again.preprocess == ck.preprocess
    assert same(again.model, ck.model)
    return peer("timm").create_model(f"local-dir:{folder}", pretrained=True).eval()
