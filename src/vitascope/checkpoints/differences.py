"""In what two models differ."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import fields
from typing import Any

from vitascope.models.config import ModelConfig, ViTConfig

_TRAINING = ("head_bias", "dropout", "stochastic_depth")


def differences(
    config: ModelConfig, other: ModelConfig, free: Collection[str] = (), words: str = "instead of"
) -> list[str]:
    """ "depth 3 instead of 12" for each field that changes results and is not `free`, of two configs of one kind."""
    wanted = _defining(other)
    return [
        f"{name} {value} {words} {wanted[name]}"
        for name, value in _defining(config).items()
        if name not in (*_TRAINING, *free) and value != wanted[name]
    ]


def _defining(config: ModelConfig) -> dict[str, Any]:
    values: dict[str, Any] = {field.name: getattr(config, field.name) for field in fields(config)}
    if isinstance(config, ViTConfig):  # what has no effect, or only on the start of a training, does not count
        values |= {"class_row": config.has_class_row, "layer_scale": config.layer_scale is not None}
        if config.representation_size is None:
            values["representation_activation"] = None
    return values
