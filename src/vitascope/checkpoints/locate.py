"""From what the user typed to the folder or file that holds the weights."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from torch import Tensor

from vitascope.checkpoints.formats.names import WEIGHT_ENDINGS
from vitascope.checkpoints.formats.raw import RawCheckpoint
from vitascope.checkpoints.in_folder import USUAL, shards, weights_among
from vitascope.checkpoints.json_file import read_json
from vitascope.checkpoints.named import Located, find, is_name
from vitascope.checkpoints.output import settled
from vitascope.checkpoints.store import CONFIG, is_own
from vitascope.checkpoints.tensor_file import TensorFile, read_tensors
from vitascope.errors import CheckpointError


def locate(path: str | Path) -> Located:
    """The file, the folder, or the `model/` of a run; of a name, where nothing is at such a path, what was fetched.

    Raises `CheckpointError` when there is nothing.
    """
    place = settled(Path(path))
    if not os.path.exists(place):  # says no where a path cannot be asked for: too long, not permitted
        return find(str(path))
    if place.is_dir() and not is_own(place) and is_own(settled(place / "model")):
        return Located(place=settled(place / "model"))
    return Located(place=place)


def is_checkpoint(path: str | Path) -> bool:
    """Whether it is a name, or a path to what `load` may read by the names inside or our mark in a config.json."""
    if is_name(str(path)):
        return True
    place = settled(Path(path))
    if not os.path.isdir(place):
        return place.suffix in WEIGHT_ENDINGS and os.path.isfile(place)
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
    described = place.is_dir() or place.name in USUAL
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
    name, files = weights_among([path.name for path in folder.iterdir() if path.is_file()])
    if name.endswith(".index.json"):
        return _sharded(folder / name)
    if name:
        return read_tensors(folder / name)
    if (folder / "checkpoints").is_dir():
        raise CheckpointError(f"{folder}: a run without a result yet; resume it, or wait until model/ is there")
    what = f"{len(files)} weight files: name one of them" if files else "no weights (model.safetensors)"
    raise CheckpointError(f"{folder}: holds {what}; expected a checkpoint's folder or a run")


def _sharded(index: Path) -> TensorFile:
    table = shards(index, read_json(index))
    tensors: dict[str, Tensor] = {}
    for name in sorted(set(table.values())):
        for key, tensor in read_tensors(index.parent / name).tensors.items():
            if key in tensors:
                raise CheckpointError(f"{index}: {key} is in two files")
            tensors[key] = tensor
    absent = [key for key in table if key not in tensors]
    if absent:
        raise CheckpointError(f"{index}: the files lack {', '.join(absent)}")
    return TensorFile(tensors)
