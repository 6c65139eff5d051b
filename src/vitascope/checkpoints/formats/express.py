"""What a format can say, and the refusal of what it cannot."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from typing import Any

from vitascope import json_text
from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.errors import CheckpointError
from vitascope.models.config import ModelConfig, ViTConfig, config_to_dict
from vitascope.version import __version__
from vitascope.wording import some

log = logging.getLogger(__name__)

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
        values = json_text.parse(metadata.get(_NOTE, "{}"))
    except ValueError:
        return {}
    return values if isinstance(values, dict) else {}


def labels_of(names: object, classes: int) -> tuple[str, ...]:
    """Class names from a description beside the weights, in the order of the logits; empty where there are none.

    A class that a table of numbers and names leaves out keeps its number, which is logged; so is a list that is left
    out because it has not a name for each class.
    """
    table = dict(enumerate(names)) if isinstance(names, list) else names
    if not isinstance(table, Mapping) or not table or not classes:
        return ()
    found = [table.get(index, table.get(str(index))) for index in range(classes)]
    nameless = [str(index) for index, name in enumerate(found) if not isinstance(name, str)]
    if isinstance(names, list) and (nameless or len(names) != classes):
        log.warning("%d names for %d classes are left out; their numbers stand for them", len(names), classes)
        return ()
    if nameless:
        log.warning(
            "no name for %d of %d classes (%s); their numbers stand for them", len(nameless), classes, some(nameless)
        )
    return tuple(name if isinstance(name, str) else str(index) for index, name in enumerate(found))
