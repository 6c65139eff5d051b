"""NumPy archives (.npz), read without trusting what they claim.

Nothing is unpickled. Every array's declared shape is compared with the bytes that the archive has for it, and
all of them with a limit, before memory is taken.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from numpy.lib import format as npy
from torch import Tensor

from vitascope.checkpoints.limits import MAX_BYTES, size_text
from vitascope.checkpoints.output import FILE_MARK
from vitascope.errors import CheckpointError

_MAX_RATIO, _SLACK = 100, 1 << 28
"""Weights hardly compress. More than 100 times the file plus 256 MiB is a bomb, not a model."""
_KINDS = {"f", "V", "i", "u", "b"}


def read_npz(path: Path, max_bytes: int = MAX_BYTES) -> dict[str, Tensor]:
    """Name → tensor. bfloat16, which NumPy stores as two bytes without a type, comes back as bfloat16.

    Raises `CheckpointError` for what is damaged, holds objects, or claims more than it has or than `max_bytes`.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            _refuse_bomb(path, members, max_bytes)
            tensors: dict[str, Tensor] = {}
            for member in members:
                name = member.filename.removesuffix(".npy")
                if name in tensors:
                    raise CheckpointError(f"{path}: holds {name} twice")
                with archive.open(member) as stream:
                    tensors[name] = _tensor(_array(stream, member, name, path), name, path)
            return tensors
    except CheckpointError:
        raise
    except MemoryError as error:
        raise CheckpointError(f"{path}: not enough memory for its arrays") from error
    except Exception as error:  # NumPy parses headers as Python, and meets damaged ones with any exception there is
        raise CheckpointError(f"{path}: damaged or incomplete .npz ({error}); fetch or save it again") from error


def write_npz(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Writes float32 arrays, uncompressed; "/" in names is kept, as the official files have it."""
    # np.savez(**arrays) would mistake a tensor named "file" for its own argument.
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        archive.comment = FILE_MARK
        for name, tensor in tensors.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as stream:
                npy.write_array(stream, tensor.numpy(), allow_pickle=False)


def _refuse_bomb(path: Path, members: list[zipfile.ZipInfo], max_bytes: int) -> None:
    claimed = sum(member.file_size for member in members)
    possible = min(max_bytes, _MAX_RATIO * path.stat().st_size + _SLACK)
    if claimed > possible:
        raise CheckpointError(
            f"{path}: claims {size_text(claimed)} of arrays in a file of {size_text(path.stat().st_size)}; "
            f"at most {size_text(possible)} are accepted"
        )


def _array(stream: IO[bytes], member: zipfile.ZipInfo, name: str, path: Path) -> np.ndarray[Any, Any]:
    version = npy.read_magic(stream)
    if version == (1, 0):
        shape, fortran, dtype = npy.read_array_header_1_0(stream)
    elif version == (2, 0):
        shape, fortran, dtype = npy.read_array_header_2_0(stream)
    else:
        raise CheckpointError(f"{path}: {name} has .npy version {version}, expected 1.0 or 2.0")
    if dtype.hasobject:
        raise CheckpointError(f"{path}: {name} holds Python objects, which are never loaded; expected numbers")
    if dtype.kind not in _KINDS or (dtype.kind == "V" and (dtype.itemsize != 2 or dtype.names)):
        raise CheckpointError(f"{path}: {name} holds {dtype}, expected floating point numbers")
    claimed, present = math.prod(shape) * dtype.itemsize, member.file_size - stream.tell()
    if claimed != present or min(shape, default=1) < 0:
        raise CheckpointError(
            f"{path}: {name} claims shape {shape} ({size_text(claimed)}) but has {size_text(max(present, 0))}"
        )
    data = bytearray(claimed)
    _fill(stream, data)
    array = np.frombuffer(data, dtype=dtype)
    return array.reshape(shape, order="F" if fortran else "C")


def _fill(stream: IO[bytes], data: bytearray) -> None:
    view, done = memoryview(data), 0
    while done < len(data):
        piece = stream.read(min(len(data) - done, 1 << 24))
        if not piece:
            raise EOFError(f"ends after {done} of {len(data)} bytes")
        view[done : done + len(piece)] = piece
        done += len(piece)
    if stream.read(1):  # also makes the archive check its sum
        raise EOFError("has bytes after its end")


def _tensor(array: np.ndarray[Any, Any], name: str, path: Path) -> Tensor:
    if array.dtype.kind == "V":
        return torch.from_numpy(np.ascontiguousarray(array).view(np.int16).copy()).view(torch.bfloat16)
    if array.dtype.kind == "f" and array.dtype.itemsize > 8:
        raise CheckpointError(f"{path}: {name} holds {array.dtype}, expected at most float64")
    native = array.astype(array.dtype.newbyteorder("="), copy=False)
    if native.dtype.kind == "u" and native.dtype.itemsize > 1:
        native = native.astype(np.int64)
    return torch.from_numpy(np.ascontiguousarray(native).reshape(native.shape))
