"""safetensors files through the library of that name, with what it leaves open: limits, duplicates, SHA-256."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save_file
from torch import Tensor

from vitascope.checkpoints.json_file import parse_json
from vitascope.checkpoints.limits import MAX_BYTES, MAX_HEADER, size_text
from vitascope.errors import CheckpointError
from vitascope.wording import reason

_DTYPES = ("F64", "F32", "F16", "BF16", "I64", "I32", "I16", "I8", "U8", "BOOL")
_MAX_AXES = 8


@dataclass(frozen=True)
class Safetensors:
    """A whole file in memory."""

    tensors: dict[str, Tensor]
    """Name → tensor, each with its own memory."""
    metadata: dict[str, str]
    """The header's `__metadata__`."""
    sha256: str
    """Of the file, as 64 hexadecimal digits."""


def read_safetensors(path: Path, max_bytes: int = MAX_BYTES) -> Safetensors:
    """Reads and checks everything; raises `CheckpointError` for a damaged, lying or oversized file."""
    size = path.stat().st_size
    if size > max_bytes:
        raise CheckpointError(f"{path}: {size_text(size)}, at most {size_text(max_bytes)} are accepted")
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if not 2 <= length <= min(size - 8, MAX_HEADER):
            raise _damaged(path, f"header of {size_text(length)} in a file of {size_text(size)}")
        header = parse_json(stream.read(length), path)  # the library takes the last of two tensors of one name
        metadata = header.pop("__metadata__", None) or {}
        for name, entry in header.items():
            _check(entry, f"{path}: tensor {name[:80]!r}")
        stream.seek(0)
        data = stream.read()  # not mapped into memory: a mapped file that shrinks later kills the process
    try:
        return Safetensors(load(data), metadata, hashlib.sha256(data).hexdigest())
    except SafetensorError as error:
        raise _damaged(path, reason(error)) from error


def write_safetensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    """Writes a file and returns its SHA-256; raises OSError or SafetensorError. `atomic_folder` forces it to disk."""
    path.touch()
    mode = path.stat().st_mode
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    save_file(whole, path, {"format": "pt", **metadata})
    path.chmod(mode)  # the library's files can be read by their owner only
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _check(entry: Any, where: str) -> None:
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise CheckpointError(f"{where} must have dtype, shape and data_offsets; fetch or save the file again")
    if entry["dtype"] not in _DTYPES:
        raise CheckpointError(f"{where} has dtype {str(entry['dtype'])[:20]!r}, expected {', '.join(_DTYPES)}")
    if not isinstance(entry["shape"], list) or len(entry["shape"]) > _MAX_AXES:
        raise CheckpointError(f"{where} must have at most {_MAX_AXES} axes; fetch or save the file again")


def _damaged(path: Path, reason: str) -> CheckpointError:
    return CheckpointError(f"{path}: truncated or damaged ({reason}); fetch or save it again")
