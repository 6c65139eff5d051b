"""One file of tensors, recognised by its first bytes and never by its name."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from vitascope.checkpoints.npz import read_npz
from vitascope.checkpoints.other_files import what_else
from vitascope.checkpoints.safetensors_file import read_safetensors
from vitascope.checkpoints.torch_file import read_torch
from vitascope.errors import CheckpointError
from vitascope.wording import reason


@dataclass(frozen=True)
class TensorFile:
    """Content of a file, whatever its kind."""

    tensors: dict[str, Tensor]
    """Name → tensor on the CPU, as stored: names may have the prefixes of wrappers (`unwrap.py`)."""
    metadata: dict[str, str] = field(default_factory=dict)
    """Text stored beside them, by its name."""


def read_tensors(path: Path) -> TensorFile:
    """Reads .npz, safetensors or PyTorch files; raises `CheckpointError` naming the file and what is wrong."""
    try:
        with path.open("rb") as stream:
            start = stream.read(512)
        members = _members(path) if start[:2] == b"PK" else []
        if what := what_else(path.name, start, members):
            raise CheckpointError(f"{path}: {what}")
        if start[8:9] == b"{":  # behind the length of its header
            file = read_safetensors(path)
            found = TensorFile(file.tensors, file.metadata)
        elif members and all(name.endswith(".npy") for name in members):
            found = TensorFile(read_npz(path))
        elif start[:1] == b"\x80" or any(name.rsplit("/", 1)[-1] == "data.pkl" for name in members):
            found = TensorFile(*read_torch(path))
        else:
            raise CheckpointError(
                f"{path}: neither safetensors nor .npz nor a PyTorch file (or its beginning or end is damaged)"
            )
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({reason(error)})") from error
    if not found.tensors:
        raise CheckpointError(f"{path}: holds no tensors")
    return found


def _members(path: Path) -> list[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return []
