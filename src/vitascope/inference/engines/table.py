"""The engines by name, each compared with the model before it is used."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.errors import ConfigError
from vitascope.inference.engines.onnx import onnx
from vitascope.inference.engines.openvino import openvino
from vitascope.inference.engines.pytorch import Engine, compiled, eager
from vitascope.models.evaluated import evaluated
from vitascope.precision import resolve_precision
from vitascope.streams import Stream, seed_of
from vitascope.wording import first_line

Builder = Callable[[Checkpoint, torch.device, str, int], Engine]
"""Of checkpoint, device, precision ("float32" or "bfloat16") and the largest batch to come."""

BUILDERS: dict[str, Builder] = {"eager": eager, "compiled": compiled, "openvino": openvino, "onnx": onnx}
CPU_ONLY = ("openvino", "onnx")
TOLERANCES = {"float32": 1e-4, "float16": 1e-2, "bfloat16": 5e-2}
"""Largest difference to the model in float32 that is accepted, as a share of the largest logit (at least 1)."""


def build(name: str, checkpoint: Checkpoint, device: torch.device, precision: str, batch: int) -> Engine:
    """The engine `name` of `BUILDERS`.

    Raises `ConfigError` where it is not installed, does not work here or differs from the model beyond `TOLERANCES`.
    """
    if name in CPU_ONLY and device.type != "cpu":
        raise ConfigError(f"engine {name} runs on the CPU only, device is {device}; choose eager or compiled")
    precision = resolve_precision(precision, device)
    if name == "eager":
        return eager(checkpoint, device, precision, batch)
    try:
        engine = BUILDERS[name](checkpoint, device, precision, batch)
        far = difference(engine, checkpoint, min(batch, 2))
    except ConfigError:
        raise
    except Exception as error:
        raise ConfigError(f"engine {name} does not work here ({first_line(error)}); choose engine eager") from error
    if not far <= TOLERANCES[precision]:
        raise ConfigError(
            f"engine {name} differs from the model by {far:.2g} of the largest logit, "
            f"tolerance {TOLERANCES[precision]:g}; choose engine eager"
        )
    return engine


def difference(engine: Engine, checkpoint: Checkpoint, batch: int) -> float:
    """`apart` on drawn images."""
    preprocess = checkpoint.preprocess
    drawn = torch.Generator().manual_seed(seed_of(Stream.PROBE, 0))
    return apart(engine, checkpoint, torch.rand(batch, preprocess.channels, *preprocess.size, generator=drawn) * 2 - 1)


@torch.no_grad()
def apart(engine: Engine, checkpoint: Checkpoint, images: torch.Tensor) -> float:
    """The largest difference to the model's logits on normalised images, over the largest of those, or over 1."""
    device = next(checkpoint.model.parameters()).device
    expected = evaluated(checkpoint.model)(images.to(device)).float().cpu().numpy()
    received = np.asarray(engine(images))
    if received.shape != expected.shape:
        raise ConfigError(f"the engine gives {received.shape} for a batch of {len(images)}, expected {expected.shape}")
    with np.errstate(invalid="ignore"):  # infinite outputs have no difference, and NaN is refused by whoever asks
        return float(np.abs(received - expected).max() / max(np.abs(expected).max(), 1.0))
