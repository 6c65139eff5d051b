"""Files of tensors: safetensors, NumPy archives and PyTorch's own, told by their first bytes and never by their name.

Nothing in a file is trusted. What it claims is compared with its length before memory is taken, sums that it holds are
compared, and nothing is unpickled but what `weights_only=True` allows.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import math
import os
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, BinaryIO

import numpy as np
import safetensors.torch
import torch
from numpy.lib import format as npy
from torch import Tensor

from vitascope.checkpoints.json_file import LARGEST_JSON, parse_json
from vitascope.checkpoints.other_files import what_else
from vitascope.checkpoints.output import FILE_MARK
from vitascope.errors import CheckpointError
from vitascope.models.config import MOST_WEIGHTS
from vitascope.wording import reason

MAX_BYTES = 4 * MOST_WEIGHTS
"""Weights of one model, 32 GiB: ten times a ViT-H in float32."""
_MAX_RATIO, _SLACK = 100, 1 << 28
"""Weights hardly compress. More than 100 times the file plus 256 MiB is a bomb, not a model."""
_MAX_PICKLE, _MOST_VALUES, _DEEPEST = 64 << 20, 1 << 17, 8
_MODULES = "torch.nn.modules."
"""Classes that only a pickled model names; a state dict does without them."""


@dataclass(frozen=True)
class TensorFile:
    """A whole file in memory, whatever its kind."""

    tensors: dict[str, Tensor]
    """Name → tensor on the CPU, as stored: names may have the prefixes of wrappers (`unwrap.py`)."""
    metadata: dict[str, str] = field(default_factory=dict)
    """Text stored beside them, by its name."""
    sha256: str = ""
    """Of a safetensors file, as 64 hexadecimal digits."""


def read_tensors(path: Path) -> TensorFile:
    """Reads .npz, safetensors or PyTorch files; raises `CheckpointError` naming the file and what is wrong."""
    with _reading(path):
        with path.open("rb") as stream:
            start = stream.read(512)
            members = zipfile.ZipFile(stream).namelist() if start[:2] == b"PK" else []
        if what := what_else(path.name, start, members):
            raise CheckpointError(f"{path}: {what}")
        if start[8:9] == b"{":  # behind the length of its header
            file = read_safetensors(path)
        elif members and all(name.endswith(".npy") for name in members):
            file = TensorFile(_read_npz(path))
        elif start[:1] == b"\x80" or members:
            file = TensorFile(*_read_torch(path))
        else:
            raise CheckpointError(
                f"{path}: neither safetensors nor .npz nor a PyTorch file (or its beginning is damaged)"
            )
    if not file.tensors:
        raise CheckpointError(f"{path}: holds no tensors")
    return file


def read_safetensors(path: Path) -> TensorFile:
    """What the safetensors library reads, with what it leaves open: limits, duplicates, SHA-256. As `read_tensors`."""
    with _reading(path) as size, path.open("rb") as stream:
        return _safetensors(stream, size, path)


def parse_safetensors(data: bytes, path: Path) -> TensorFile:
    """As `read_safetensors`, of the bytes of a file that errors call `path`."""
    with _understood(path):
        return _safetensors(io.BytesIO(data), len(data), path)


def _safetensors(stream: BinaryIO, size: int, path: Path) -> TensorFile:
    length = int.from_bytes(stream.read(8), "little")
    if not 0 < length <= min(size - 8, LARGEST_JSON):
        raise ValueError(f"header of {_size(length)} in a file of {_size(size)}")
    header = parse_json(stream.read(length), path)  # the library takes the last of two tensors of one name
    stream.seek(0)
    data = stream.read()  # not mapped into memory: a mapped file that shrinks later kills the process
    found = safetensors.torch.load(data)  # in another order each time
    tensors = {name: found[name] for name in header if name in found}
    return TensorFile(tensors, header.get("__metadata__") or {}, hashlib.sha256(data).hexdigest())


def _read_npz(path: Path) -> dict[str, Tensor]:
    """bfloat16, which NumPy stores as two bytes without a type, comes back as bfloat16."""
    tensors: dict[str, Tensor] = {}
    with zipfile.ZipFile(path) as archive:
        claimed, size = sum(member.file_size for member in archive.infolist()), path.stat().st_size
        possible = min(MAX_BYTES, _MAX_RATIO * size + _SLACK)
        if claimed > possible:
            told = f"claims {_size(claimed)} of arrays in a file of {_size(size)}"
            raise CheckpointError(f"{path}: {told}; at most {_size(possible)} are accepted")
        for member in archive.infolist():
            name = member.filename.removesuffix(".npy")
            if name in tensors:
                raise CheckpointError(f"{path}: holds {name} twice")
            with archive.open(member) as stream:
                tensors[name] = _array(stream, member.file_size, f"{path}: {name}")
    return tensors


def _array(stream: Any, size: int, where: str) -> Tensor:
    read_header = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}[npy.read_magic(stream)]
    shape, fortran, dtype = read_header(stream)
    if dtype.hasobject:
        raise CheckpointError(f"{where} holds Python objects, which are never loaded; expected numbers")
    if dtype.kind not in "fiub" and dtype != np.dtype("V2"):
        raise CheckpointError(f"{where} holds {dtype}, expected floating point numbers")
    claimed, present = math.prod(shape) * dtype.itemsize, size - stream.tell()
    if claimed != present or min(shape, default=1) < 0:
        raise CheckpointError(f"{where} claims shape {shape} ({_size(claimed)}) but has {_size(present)}")
    data = bytearray(stream.read(present))  # to its end, where the archive compares its sum
    array: np.ndarray[Any, Any] = np.ndarray(shape, dtype, data, order="F" if fortran else "C")
    if dtype.kind == "V":
        return torch.from_numpy(np.ascontiguousarray(array).view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(np.ascontiguousarray(array, dtype.newbyteorder("=")).reshape(shape))


def _read_torch(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Every tensor of the file, however deep in its dictionaries ("state_dict.head.weight"), and the texts likewise.

    No code of the file ever runs: whatever is not a plain tensor or container is refused, but for
    `argparse.Namespace`, the settings that training scripts store beside, which is a bare holder of values.
    """
    _verify_archive(path)
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals([argparse.Namespace]):
            warnings.simplefilter("ignore")  # about storages of old files
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=False)
    except UnpicklingError as error:
        raise CheckpointError(f"{path}: {_refused(path, error)}") from error
    if not isinstance(content, Mapping) or not content:
        raise CheckpointError(f"{path}: holds a {type(content).__name__}, expected a state dict of tensors")
    tensors: dict[str, Tensor] = {}
    texts: dict[str, str] = {}
    for count, (name, value) in enumerate(_leaves(content)):
        if count > _MOST_VALUES:
            raise CheckpointError(f"{path}: holds more than {_MOST_VALUES:,} values; expected a model's state dict")
        if isinstance(value, str):
            texts[name] = value
        elif isinstance(value, Tensor):
            if name in tensors:
                raise CheckpointError(f"{path}: holds {name[:80]} twice")
            tensors[name] = value.detach()
    held = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    if held > 4 * path.stat().st_size + (1 << 20):  # one stored number, expanded to any shape
        raise CheckpointError(f"{path}: claims {_size(held)} of tensors that it does not store")
    return tensors, texts


def _verify_archive(path: Path) -> None:
    # torch.save stores without compression, so a compressed member is a bomb or not a weights file; and torch.load
    # does not compare the archive's sums, which would notice a flipped bit.
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if member.file_size > member.compress_size:
                raise CheckpointError(f"{path}: {member.filename} is compressed, which torch.save never does")
            if member.filename.endswith(".pkl") and member.file_size > _MAX_PICKLE:
                raise CheckpointError(f"{path}: {member.filename} takes {_size(member.file_size)}")
            if member.CRC:  # without where torch.serialization.set_crc32_options(False) was set
                with archive.open(member) as stream:
                    while stream.read(1 << 22):
                        pass


def _leaves(content: Mapping[Any, Any], prefix: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    for name, value in content.items():
        inner = vars(value) if isinstance(value, argparse.Namespace) else value
        if isinstance(inner, Mapping) and depth < _DEEPEST:
            yield from _leaves(inner, f"{prefix}{name}.", depth + 1)
        yield f"{prefix}{name}", value


def _refused(path: Path, error: UnpicklingError) -> str:
    try:
        unsafe = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except Exception:  # a file of before PyTorch 1.6, or damaged
        unsafe = []
    if any(name.startswith(_MODULES) for name in unsafe) or _MODULES in str(error):
        mended = f"torch.save(torch.load('{path.name}', weights_only=False).state_dict(), 'weights.pth')"
        return f"a whole pickled model, which would run code; where you trust it, write its weights with {mended}"
    what = ", ".join(unsafe[:3]) or _told(error)
    return f"holds Python objects beside tensors, which are never loaded ({what}); ask its author for safetensors"


def _told(error: UnpicklingError) -> str:
    *_, told = str(error).split("WeightsUnpickler error:")  # behind which torch says what the file has
    return (told.strip().splitlines() or ["damaged"])[0][:100]


def halved(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """In float16: half the bytes, and each weight within 0.05 % or 3e-8. Raises `CheckpointError` beyond its range."""
    small = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}
    for name, tensor in small.items():
        if tensors[name].isfinite().all() and not tensor.isfinite().all():
            reached = tensors[name].abs().max().item()
            raise CheckpointError(f"{name} reaches {reached:.3g}, float16 ends at 65504: save it without half")
    return small


def write_safetensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    """Writes a file and returns its SHA-256; raises OSError. `atomic_folder` forces it to disk."""
    path.touch()
    mode = path.stat().st_mode
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    try:
        safetensors.torch.save_file(whole, path, {"format": "pt", **metadata})
    except safetensors.SafetensorError as error:  # which tells the system's error in words alone
        number = int((re.search(r"os error (\d+)", str(error)) or [0, 0])[1])
        raise OSError(number, os.strerror(number) if number else reason(error)) from error
    path.chmod(mode)  # the library's files can be read by their owner only
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_npz(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Writes float32 arrays, uncompressed; "/" in names is kept, as the official files have it. Raises OSError."""
    with path.open("wb") as file:
        np.savez(file, allow_pickle=False, **{name: tensor.numpy() for name, tensor in tensors.items()})
    _mark(path)


def write_torch(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Writes a state dict of plain tensors, which `torch.load(weights_only=True)` reads. Raises OSError."""
    with path.open("wb") as file:
        torch.save(dict(tensors), file)
    _mark(path)


def _mark(path: Path) -> None:
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = FILE_MARK


@contextmanager
def _reading(path: Path) -> Iterator[int]:
    """Yields the file's size, if it is one that may be read; otherwise as `_understood`."""
    with _understood(path):
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise CheckpointError(f"{path}: {_size(size)}, at most {_size(MAX_BYTES)} are accepted")
        yield size


@contextmanager
def _understood(path: Path) -> Iterator[None]:
    """Whatever a parser raises becomes a `CheckpointError`."""
    try:
        yield
    except CheckpointError:
        raise
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({reason(error)})") from error
    except MemoryError as error:
        raise CheckpointError(f"{path}: claims more memory than there is") from error
    except Exception as error:  # parsers meet damaged bytes with any exception there is
        why = reason(error)[:120]
        raise CheckpointError(f"{path}: truncated or damaged ({why}); fetch or save it again") from error


def _size(count: int) -> str:
    """2048 → "2.0 KiB"."""
    power = min((max(count, 1).bit_length() - 1) // 10, 5)
    return f"{count / 1024**power:.1f} {' KMGTP'[power]}iB" if power else f"{max(count, 0)} bytes"
