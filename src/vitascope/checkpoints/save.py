"""`vs.save`: a checkpoint in our own format or another library's."""

from __future__ import annotations

from pathlib import Path

from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.checkpoints.formats.names import FORMATS, WEIGHT_ENDINGS
from vitascope.checkpoints.formats.table import WRITERS
from vitascope.checkpoints.store import write_folder
from vitascope.errors import CheckpointError
from vitascope.wording import meant


def save(checkpoint: Checkpoint, path: str | Path, format: str = "vitascope", overwrite: bool = False) -> None:
    """Writes `path`, a folder or a file as the format and the name's ending want it (`FORMATS`), wholly or not at all.

    Raises `CheckpointError` when `path` exists and not `overwrite`, when the disk is full, or when the format
    cannot hold this model, naming what it cannot hold. Nothing is written then.
    """
    if format not in FORMATS:
        raise CheckpointError(f"no format {format!r}; {meant(format, FORMATS)}")
    ending, endings = Path(path).suffix.lower(), FORMATS[format]
    if endings and ending in WEIGHT_ENDINGS and ending not in endings:
        raise CheckpointError(f'{path}: format "{format}" is a file that ends in {" or ".join(endings)}; name it so')
    if checkpoint.activation != "softmax" and format not in ("vitascope", "huggingface"):
        raise CheckpointError(
            f'format "{format}" cannot say that outputs become probabilities by "{checkpoint.activation}", and softmax '
            'would be taken for it: use format "vitascope" or "huggingface"'
        )
    write = write_folder if format == "vitascope" else WRITERS[format]
    write(checkpoint, Path(path), overwrite=overwrite)
