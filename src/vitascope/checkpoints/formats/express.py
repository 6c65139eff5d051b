"""What a format can say, and the refusal of what it cannot."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.errors import CheckpointError
from vitascope.models.config import ModelConfig, ViTConfig, config_to_dict
from vitascope.version import __version__

_NOTE = "vitascope"
WRITTEN_BY = {"written_by": f"vitascope {__version__}"}
"""In descriptions of foreign formats, so that what we wrote can be told from what came from elsewhere."""


def refuse_inexpressible(format: str, reasons: Iterable[tuple[str, bool]]) -> None:
    """Raises `CheckpointError` naming every part of a model that `format` has no way to say."""
    held = [what for what, wrong in reasons if wrong]
    if held:
        raise CheckpointError(
            f'format "{format}" cannot hold this model, which has {"; ".join(held)}: use format "vitascope"'
        )


def vit_only(format: str, config: ModelConfig) -> ViTConfig:
    """The config, if it is a ViT's without a convolutional stem; else a `CheckpointError`."""
    if not isinstance(config, ViTConfig):
        raise CheckpointError(f'format "{format}" holds ViTs only, this is a BiT-ResNet: use "vitascope" or "google"')
    if config.stem is not None:
        raise CheckpointError(
            f'format "{format}" cannot hold the stem of a hybrid exactly (its GroupNorm and standardised '
            'kernels have other constants there): use "vitascope" or "google"'
        )
    return config


def note(checkpoint: Checkpoint) -> dict[str, str]:
    """Labels, preprocessing and config as the metadata of a lone safetensors file."""
    values = {
        "model": config_to_dict(checkpoint.config),
        "labels": list(checkpoint.labels),
        "preprocess": checkpoint.preprocess.to_dict(),
    }
    return {_NOTE: json.dumps(values, ensure_ascii=False)}


def read_note(metadata: Mapping[str, str]) -> dict[str, Any]:
    """What `note` wrote; empty where there is none or it is unreadable."""
    try:
        values = json.loads(metadata.get(_NOTE, "{}"))
    except (ValueError, RecursionError):
        return {}
    return values if isinstance(values, dict) else {}


def labels_of(names: object, classes: int) -> tuple[str, ...]:
    """Class names from a description beside the weights; empty unless there is one for each class."""
    if isinstance(names, Mapping):
        names = [names.get(str(index)) for index in range(len(names))]
    if isinstance(names, list) and len(names) == classes and all(isinstance(name, str) for name in names):
        return tuple(names)
    return ()
