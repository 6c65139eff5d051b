"""`vs.save`: a checkpoint in our own format or another library's."""

from __future__ import annotations

import difflib
from pathlib import Path

from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.checkpoints.store import write_folder
from vitascope.errors import CheckpointError


def save(checkpoint: Checkpoint, path: str | Path, format: str = "vitascope", overwrite: bool = False) -> None:
    """Writes `path`, a folder or a file as the format wants it, wholly or not at all.

    Formats: see `formats()`. Raises `CheckpointError` when `path` exists and not `overwrite`, when the disk is
    full, or when the format cannot hold this model, naming what it cannot hold.
    """
    if format == "vitascope":
        return write_folder(checkpoint, Path(path), overwrite=overwrite)
    near = difflib.get_close_matches(format, ["vitascope"], 1)
    raise CheckpointError(f"no format {format!r}; did you mean {near}?")
