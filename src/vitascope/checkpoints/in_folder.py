"""Which of a folder's files hold the weights, by their names alone: on the disk and in a repository. Free of torch."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path, PurePosixPath
from typing import Any

from vitascope.checkpoints.formats.names import WEIGHT_ENDINGS
from vitascope.errors import CheckpointError

USUAL = ("model.safetensors", "pytorch_model.bin", "open_clip_model.safetensors")
"""Names of weights beside which a config.json is theirs, first those that are taken first."""


def weights_among(names: Collection[str]) -> tuple[str, list[str]]:
    """The file to read, or the index of several, and all files of weights; "" where none or no single one is there."""
    files = sorted(name for name in names if PurePosixPath(name).suffix in WEIGHT_ENDINGS and "/" not in name)
    for usual in USUAL:
        for name in (usual, f"{usual}.index.json"):
            if name in names:
                return name, files
    return (files[0] if len(files) == 1 else ""), files


def shards(index: Path, content: dict[str, Any]) -> dict[str, str]:
    """From the content of an index: tensors → files, which lie in its folder. Raises `CheckpointError`."""
    table = content.get("weight_map")
    if not isinstance(table, dict) or not all(isinstance(name, str) for name in table.values()):
        raise CheckpointError(f"{index}: has no weight_map from tensors to files")
    for name in set(table.values()):
        if not re.fullmatch(r"[\w.-]+", name) or name in (".", ".."):
            raise CheckpointError(f"{index}: names the file {name!r}; expected one in the same folder")
    return table
