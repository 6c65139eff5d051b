"""`vs.save`: a checkpoint in our own format or another library's."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.checkpoints.differences import differences
from vitascope.checkpoints.formats.names import FORMATS, WEIGHT_ENDINGS
from vitascope.checkpoints.formats.raw import RawCheckpoint
from vitascope.checkpoints.formats.table import FOREIGN, Format, understand
from vitascope.checkpoints.json_file import dump_json
from vitascope.checkpoints.output import atomic_file, atomic_folder
from vitascope.checkpoints.store import write_folder
from vitascope.checkpoints.tensor_file import halved, write_npz, write_safetensors, write_torch
from vitascope.errors import CheckpointError, ConfigError
from vitascope.wording import meant

log = logging.getLogger(__name__)

_PARTS = {
    "stem.": "the stem of a hybrid",
    "patches.norm": "LayerNorms around the patch embedding",
    "embedding.registers": "register tokens",
    ".scale1.": "LayerScale",
    "head.hidden.": "a hidden layer in the head",
    "head.norm.": "a LayerNorm after the pooling",
    "embedding.norm.": "a LayerNorm before the blocks",
    "head.attention.": "attention pooling",
}
"""What a tensor that a format has no name for belongs to."""


def save(
    checkpoint: Checkpoint, path: str | Path, format: str = "vitascope", overwrite: bool = False, half: bool = False
) -> None:
    """Writes `path`, a folder or a file as the format and the name's ending want it (`FORMATS`), wholly or not at all.

    `half` writes float16, which is read as float32 again: half the bytes, each weight within 0.05 %.
    Raises `CheckpointError` when `path` exists and not `overwrite`, when the disk is full, or when the format
    cannot hold this model, naming what it cannot hold. Nothing is written then.
    """
    if format not in FORMATS:
        raise CheckpointError(f"no format {format!r}; {meant(format, FORMATS)}")
    path = Path(path)
    ending, endings = path.suffix.lower(), FORMATS[format]
    if endings and ending in WEIGHT_ENDINGS and ending not in endings:
        raise CheckpointError(f'{path}: format "{format}" is a file that ends in {" or ".join(endings)}; name it so')
    if format == "vitascope":
        write_folder(checkpoint, path, overwrite=overwrite, half=half)
        return
    raw = _written(checkpoint, format)
    if checkpoint.sets is not None:
        log.warning("format %r has no place for prediction sets: they are left out", format)
    raw = replace(raw, tensors=halved(raw.tensors)) if half else raw
    if endings:
        with atomic_file(path, what="checkpoint", overwrite=overwrite) as temporary:
            _write_file(temporary, ending if ending in endings else endings[0], raw, path)
        return
    with atomic_folder(path, what="checkpoint", overwrite=overwrite) as folder:
        write_safetensors(folder / "model.safetensors", raw.tensors, raw.metadata)
        (folder / "config.json").write_bytes(dump_json(raw.config))
        if raw.preprocessor is not None:
            (folder / "preprocessor_config.json").write_bytes(dump_json(raw.preprocessor))


def _write_file(path: Path, ending: str, raw: RawCheckpoint, shown: Path) -> None:
    if ending == ".npz":
        write_npz(path, raw.tensors)
    elif ending == ".safetensors":
        write_safetensors(path, raw.tensors, raw.metadata)
    else:
        log.info("%s: holds weights alone; a .safetensors file also has labels, preprocessing and heads", shown)
        write_torch(path, raw.tensors)


def _written(checkpoint: Checkpoint, format: str) -> RawCheckpoint:
    """What is written; raises `CheckpointError` unless reading it gives the same model."""
    held = next((f for f in FOREIGN if f.name == format and f.holds(checkpoint.config)), None)
    if held is None or held.write is None:
        what = "ViTs only, this is a BiT-ResNet"
        raise CheckpointError(f'format "{format}" holds {what}: use format "vitascope", "google" or "timm"')
    raw = held.write(checkpoint)
    if lost := _lost(held, checkpoint, raw):
        raise CheckpointError(f'format "{format}" cannot hold this model ({"; ".join(lost)}): use format "vitascope"')
    return raw


def _lost(held: Format, checkpoint: Checkpoint, raw: RawCheckpoint) -> list[str]:
    config, activation = raw.model, checkpoint.activation
    assert config is not None
    lost = [what for what, wrong in held.unsaid(config).items() if wrong]
    try:
        draft = understand(replace(raw, path=Path("what is written"), normalised=True))[1]
        if draft.activation != activation:
            lost.append(f'outputs that become probabilities by "{activation}", read as by "{draft.activation}"')
        nameless = [name for name in checkpoint.model.state_dict() if draft.layout.kept(name, (0, 0)) is None]
        parts = [what for part, what in _PARTS.items() if any(part in name for name in nameless)]
        return lost + (parts or differences(config, draft.config, words="where that would be read as"))
    except (CheckpointError, ConfigError) as error:
        return lost or [str(error)]
