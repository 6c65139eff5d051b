"""The head of a linear probe: a BatchNorm without weights before the linear layer (MAE's `main_linprobe.py`).

In evaluation both are one layer: W (z − mean)/s + b = (W/s) z + b − (W/s) mean, s = √(variance + 1e-6).
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

_EPS = 1e-6


def without_batch_norm(tensors: Mapping[str, Tensor], head: str = "head") -> dict[str, Tensor]:
    """The tensors with such a head as one linear layer; as they are where there is none, or one that does not fit."""
    mean, variance = (tensors.get(f"{head}.0.running_{what}") for what in ("mean", "var"))
    weight, bias = (tensors.get(f"{head}.1.{end}") for end in ("weight", "bias"))
    if mean is None or variance is None or weight is None or bias is None:
        return dict(tensors)
    if mean.shape != variance.shape or weight.shape[1:] != mean.shape or weight.shape[:1] != bias.shape:
        return dict(tensors)
    kernel = weight.double() / (variance.double() + _EPS).sqrt()
    rest = {name: tensor for name, tensor in tensors.items() if not name.startswith((f"{head}.0.", f"{head}.1."))}
    return rest | {
        f"{head}.weight": kernel.float(),
        f"{head}.bias": (bias.double() - kernel @ mean.double()).float(),
    }
