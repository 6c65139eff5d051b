"""One file of tensors, recognised by its first bytes and never by its name."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from vitascope.checkpoints.npz import is_npz, read_npz
from vitascope.checkpoints.other_files import what_else
from vitascope.checkpoints.safetensors_file import is_safetensors, read_safetensors
from vitascope.checkpoints.torch_file import is_torch, read_torch
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
        if what := what_else(path):
            raise CheckpointError(f"{path}: {what}")
        if is_safetensors(path):
            file = read_safetensors(path)
            found = TensorFile(file.tensors, file.metadata)
        elif is_npz(path):
            found = TensorFile(read_npz(path))
        elif is_torch(path):
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
