"""safetensors files, read and written in one pass each, with the SHA-256 of every byte on the way.

The library of that name loads files with duplicate names, maps them into memory (a file that shrinks later
kills the process) and would need a second pass for the hash. The format is small enough to read exactly:
eight bytes of header length, a JSON header, the tensors' bytes.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from vitascope.checkpoints.json_file import parse_json
from vitascope.checkpoints.limits import MAX_BYTES, MAX_HEADER, size_text
from vitascope.errors import CheckpointError

_DTYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8,
    "U8": torch.uint8, "BOOL": torch.bool,
}  # fmt: skip
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}


@dataclass(frozen=True)
class Safetensors:
    """A whole file in memory."""

    tensors: dict[str, Tensor]
    """Name → tensor, each with its own memory."""
    metadata: dict[str, str]
    """The header's `__metadata__`."""
    sha256: str
    """Of the file, as 64 hexadecimal digits."""


@dataclass(frozen=True)
class _Entry:
    name: str
    dtype: torch.dtype
    shape: tuple[int, ...]
    begin: int
    end: int


def is_safetensors(path: Path) -> bool:
    """Whether the file starts as one: a plausible header length and an opening brace."""
    with path.open("rb") as stream:
        start = stream.read(9)
    return len(start) == 9 and start[8:9] == b"{"


def read_safetensors(path: Path, max_bytes: int = MAX_BYTES) -> Safetensors:
    """Reads and checks everything; raises `CheckpointError` for a damaged, lying or oversized file."""
    size = path.stat().st_size
    if size > max_bytes:
        raise CheckpointError(f"{path}: {size_text(size)}, at most {size_text(max_bytes)} are accepted")
    with path.open("rb") as stream:
        start = stream.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if not 2 <= length <= min(size - 8, MAX_HEADER):
            raise CheckpointError(
                f"{path}: damaged safetensors file: header of {size_text(length)} in a file of {size_text(size)}"
            )
        header = stream.read(length)
        entries, metadata = _parse(header, size - 8 - length, path)
        digest = hashlib.sha256(start + header)
        tensors = {entry.name: _read_tensor(stream, entry, digest, path) for entry in entries}
    return Safetensors(tensors, metadata, digest.hexdigest())


def write_safetensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    """Writes a new file through to the disk and returns its SHA-256; raises OSError."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt", **metadata}}
    begin = 0
    for name, tensor in tensors.items():
        end = begin + tensor.numel() * tensor.element_size()
        header[name] = {
            "dtype": _NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [begin, end],
        }
        begin = end
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the data starts at a multiple of 8
    with path.open("wb") as stream:
        start = struct.pack("<Q", len(text)) + text
        digest = hashlib.sha256(start)
        stream.write(start)
        for tensor in tensors.values():
            data = _bytes(tensor.detach().cpu().contiguous())
            digest.update(data)
            stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    return digest.hexdigest()


def _parse(header: bytes, data: int, path: Path) -> tuple[list[_Entry], dict[str, str]]:
    values = parse_json(header, path)
    metadata = values.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
        raise CheckpointError(f"{path}: damaged safetensors header: __metadata__ must map names to text")
    entries = sorted((_entry(name, value, path) for name, value in values.items()), key=lambda e: (e.begin, e.end))
    position = 0
    for entry in entries:
        if entry.begin != position:
            what = "overlaps the tensor before it" if entry.begin < position else "leaves a gap before it"
            raise CheckpointError(f"{path}: damaged safetensors header: {entry.name} {what}")
        position = entry.end
    if position != data:
        raise CheckpointError(
            f"{path}: truncated or damaged: header describes {size_text(position)} of tensors, "
            f"the file has {size_text(data)}; fetch or save it again"
        )
    return entries, metadata


def _entry(name: str, value: Any, path: Path) -> _Entry:
    def whole(numbers: Any) -> bool:
        return isinstance(numbers, list) and all(type(n) is int and n >= 0 for n in numbers)

    if (
        not isinstance(value, dict)
        or value.keys() != {"dtype", "shape", "data_offsets"}
        or not whole(value["shape"])
        or not whole(value["data_offsets"])
        or len(value["data_offsets"]) != 2
    ):
        raise CheckpointError(f"{path}: damaged safetensors header: {name} lacks dtype, shape or data_offsets")
    if not isinstance(value["dtype"], str) or value["dtype"] not in _DTYPES:
        raise CheckpointError(f"{path}: {name} has dtype {value['dtype']!r}, expected {', '.join(_DTYPES)}")
    dtype, (begin, end) = _DTYPES[value["dtype"]], value["data_offsets"]
    elements = math.prod(value["shape"])
    reasonable = len(value["shape"]) <= 8 and math.prod(n or 1 for n in value["shape"]) < 1 << 48
    if not reasonable or elements * dtype.itemsize != end - begin:
        raise CheckpointError(
            f"{path}: {name} claims shape {value['shape']} of {value['dtype']} but has {size_text(max(end - begin, 0))}"
        )
    return _Entry(name, dtype, tuple(value["shape"]), begin, end)


def _read_tensor(stream: IO[bytes], entry: _Entry, digest: Any, path: Path) -> Tensor:
    tensor = torch.empty(entry.shape, dtype=entry.dtype)
    if tensor.numel():
        view = _bytes(tensor)
        if stream.readinto(view) != len(view):  # type: ignore[attr-defined]
            raise CheckpointError(f"{path}: ends inside {entry.name}")
        digest.update(view)
    return tensor


def _bytes(tensor: Tensor) -> memoryview:
    # The tensor's own memory; a tensor without elements has none.
    if not tensor.numel():
        return memoryview(b"")
    data: Any = tensor.reshape(-1).view(torch.uint8).numpy()
    return memoryview(data)
