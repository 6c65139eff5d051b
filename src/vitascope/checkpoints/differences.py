"""In what two models differ."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import fields
from typing import Any

from vitascope.models.config import ModelConfig, StemConfig, ViTConfig

_TRAINING = ("head_bias", "dropout", "stochastic_depth")


def differences(
    config: ModelConfig, other: ModelConfig, free: Collection[str] = (), words: str = "instead of"
) -> list[str]:
    """ "depth 3 instead of 12" for each field that changes results and is not `free`, of two configs of one kind."""
    values, wanted = _defining(config), _defining(other)
    if values.get("stem") and wanted.get("stem"):  # what differs in it, rather than both whole
        values, wanted = (both | _fields(both.pop("stem"), "stem.") for both in (values, wanted))
    return [
        f"{name} {value} {words} {wanted[name]}"
        for name, value in values.items()
        if name not in (*_TRAINING, *free) and value != wanted[name]
    ]


def _defining(config: ModelConfig) -> dict[str, Any]:
    values = _fields(config)
    if isinstance(config, ViTConfig):  # what has no effect, or only on the start of a training, does not count
        values |= {"head_width": config.inner // config.heads}
        hidden = config.representation_size is not None and config.representation_activation == "gelu"
        if config.gated_mlp and config.pooling != "attention" and not hidden:
            values["gelu"] = None
        values |= {"class_row": config.has_class_row, "layer_scale": config.layer_scale is not None}
        if config.representation_size is None:
            values["representation_activation"] = None
    return values


def _fields(config: ModelConfig | StemConfig, prefix: str = "") -> dict[str, Any]:
    return {prefix + field.name: getattr(config, field.name) for field in fields(config)}
