"""From what the user typed to the folder or file that holds the weights."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from torch import Tensor

from vitascope.checkpoints.formats.names import WEIGHT_ENDINGS
from vitascope.checkpoints.formats.raw import RawCheckpoint
from vitascope.checkpoints.json_file import read_json
from vitascope.checkpoints.output import settled
from vitascope.checkpoints.store import CONFIG, is_own
from vitascope.checkpoints.tensor_file import TensorFile, read_tensors
from vitascope.errors import CheckpointError

_USUAL = ("model.safetensors", "pytorch_model.bin", "open_clip_model.safetensors")


def locate(path: Path) -> Path:
    """The file, the folder, or the `model/` of a run; raises `CheckpointError` when there is nothing."""
    place = settled(path)
    if not place.exists():
        raise CheckpointError(f"{path}: no such file or folder; expected a checkpoint's file, folder or run")
    if place.is_dir() and not is_own(place) and is_own(settled(place / "model")):
        return settled(place / "model")
    return place


def is_checkpoint(path: Path) -> bool:
    """Whether `path` is what `load` may read, by the names inside, or by reading a config.json for our mark."""
    place = settled(path)
    if not place.is_dir():
        return place.suffix in WEIGHT_ENDINGS and place.is_file()
    inside = {p.name for p in place.iterdir()}
    weights = any(Path(name).suffix in WEIGHT_ENDINGS or name.endswith(".index.json") for name in inside)
    if weights or {"model", "checkpoints"} <= inside:
        return True
    try:
        return is_own(place) or is_own(settled(place / "model"))
    except CheckpointError:  # a config.json of somebody else, among images
        return False


def read_raw(place: Path) -> RawCheckpoint:
    """Foreign tensors at `place` and the descriptions beside them. Raises `CheckpointError`."""
    if place.is_dir():
        folder, file = place, _tensors_in(place)
    else:
        folder, file = place.parent, read_tensors(place)
    # A config.json beside a file of another name may belong to something else.
    described = place.is_dir() or place.name in _USUAL
    config = folder / CONFIG
    return RawCheckpoint(
        path=place,
        tensors=file.tensors,
        metadata=file.metadata,
        config=read_json(config) if described and config.is_file() else {},
        preprocessor=_preprocessor(folder) if described else None,
    )


def _preprocessor(folder: Path) -> dict[str, Any] | None:
    """How images are prepared, as transformers writes it down: alone, or as a part of a processor (since version 5)."""
    alone, whole = folder / "preprocessor_config.json", folder / "processor_config.json"
    if alone.is_file() or not whole.is_file():
        return read_json(alone) if alone.is_file() else None
    part = read_json(whole).get("image_processor")
    return part if isinstance(part, dict) else None


def _tensors_in(folder: Path) -> TensorFile:
    for name in _USUAL:
        if (folder / name).is_file():
            return read_tensors(folder / name)
        if (folder / f"{name}.index.json").is_file():
            return _shards(folder / f"{name}.index.json")
    files = sorted(p for p in folder.iterdir() if p.suffix in WEIGHT_ENDINGS and p.is_file())
    if len(files) == 1:
        return read_tensors(files[0])
    if (folder / "checkpoints").is_dir():
        raise CheckpointError(f"{folder}: a run without a result yet; resume it, or wait until model/ is there")
    what = f"{len(files)} weight files: name one of them" if files else "no weights (model.safetensors)"
    raise CheckpointError(f"{folder}: holds {what}; expected a checkpoint's folder or a run")


def _shards(index: Path) -> TensorFile:
    table = read_json(index).get("weight_map")
    if not isinstance(table, dict) or not all(isinstance(name, str) for name in table.values()):
        raise CheckpointError(f"{index}: has no weight_map from tensors to files")
    tensors: dict[str, Tensor] = {}
    for name in sorted(set(table.values())):
        if not re.fullmatch(r"[\w.-]+", name) or name in (".", ".."):
            raise CheckpointError(f"{index}: names the file {name!r}; expected one in the same folder")
        for key, tensor in read_tensors(index.parent / name).tensors.items():
            if key in tensors:
                raise CheckpointError(f"{index}: {key} is in two files")
            tensors[key] = tensor
    absent = [key for key in table if key not in tensors]
    if absent:
        raise CheckpointError(f"{index}: the files lack {', '.join(absent)}")
    return TensorFile(tensors)
