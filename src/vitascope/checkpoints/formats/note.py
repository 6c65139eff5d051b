"""What a state dict cannot say (labels, preprocessing, heads), as metadata of a safetensors file: a .pth has none."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from vitascope import json_text
from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.checkpoints.formats.raw import RawCheckpoint, mapping
from vitascope.data.preprocess import Preprocess
from vitascope.models.config import config_to_dict

_NOTE = "vitascope"


def noted(raw: RawCheckpoint) -> Mapping[str, Any]:
    """What `note` wrote: "model", "labels" and "preprocess"; empty where there is nothing of ours."""
    try:
        return mapping(json_text.parse(raw.metadata.get(_NOTE, "{}")))
    except ValueError:
        return {}


def noted_preprocess(said: Mapping[str, Any]) -> Preprocess | None:
    """Of what was noted; None where it says nothing of preprocessing."""
    stated = said.get("preprocess")
    return Preprocess.from_dict(stated) if isinstance(stated, dict) else None


def note(checkpoint: Checkpoint) -> dict[str, str]:
    """The metadata."""
    said = {
        "model": config_to_dict(checkpoint.config),
        "labels": list(checkpoint.labels),
        "preprocess": checkpoint.preprocess.to_dict(),
    }
    return {_NOTE: json.dumps(said, ensure_ascii=False)}
