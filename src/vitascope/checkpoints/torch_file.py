"""PyTorch's own files (.pth, .bin, .ckpt), which are pickles: only through `weights_only=True`, and bounded first."""

from __future__ import annotations

import argparse
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor

from vitascope.checkpoints.limits import MAX_BYTES, size_text
from vitascope.checkpoints.output import FILE_MARK
from vitascope.errors import CheckpointError

_MAX_PICKLE = 64 << 20
_MOST_VALUES, _DEEPEST = 1 << 17, 8
_PIECE = 1 << 22
_MODULES = "torch.nn.modules."
"""Classes that only a pickled model names; a state dict does without them."""


def read_torch(path: Path, max_bytes: int = MAX_BYTES) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Every tensor of the file, however deep in its dictionaries ("state_dict.head.weight"), and the texts likewise.

    No code of the file ever runs: whatever is not a plain tensor or container is refused, but for
    `argparse.Namespace`, the settings that training scripts store beside, which is a bare holder of values. Raises
    `CheckpointError`.
    """
    size = path.stat().st_size
    if size > max_bytes:
        raise CheckpointError(f"{path}: {size_text(size)}, at most {size_text(max_bytes)} are accepted")
    try:
        _verify_archive(path)
        with warnings.catch_warnings(), torch.serialization.safe_globals([argparse.Namespace]):
            warnings.simplefilter("ignore")  # about storages of old files
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=False)
        return _flat(content, path)
    except CheckpointError:
        raise
    except UnpicklingError as error:
        raise CheckpointError(f"{path}: {_refused(path, error)}") from error
    except MemoryError as error:
        raise CheckpointError(f"{path}: claims more memory than there is") from error
    except Exception as error:  # the unpickler meets damaged bytes with any exception there is
        raise CheckpointError(f"{path}: damaged PyTorch file ({_reason(error)}); fetch it again") from error


def write_torch(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Writes a state dict of plain tensors, which `torch.load(weights_only=True)` reads. Raises OSError."""
    with path.open("wb") as file:
        torch.save(dict(tensors), file)
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = FILE_MARK


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
                raise CheckpointError(f"{path}: {member.filename} takes {size_text(member.file_size)}")
            if member.CRC:  # without where torch.serialization.set_crc32_options(False) was set
                with archive.open(member) as stream:
                    while stream.read(_PIECE):
                        pass


def _flat(content: Any, path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
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
        raise CheckpointError(f"{path}: claims {size_text(held)} of tensors that it does not store")
    return tensors, texts


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
        return (
            "a whole pickled model, which would run code; where you trust it, write its weights with "
            f"torch.save(torch.load('{path.name}', weights_only=False).state_dict(), 'weights.pth')"
        )
    return (
        "holds Python objects beside tensors, which are never loaded "
        f"({', '.join(unsafe[:3]) or _reason(error)}); ask its author for a safetensors file"
    )


def _reason(error: Exception) -> str:
    text = str(error)
    marker = "WeightsUnpickler error:"
    if marker in text:
        text = text.split(marker, 1)[1]
    first = text.strip().splitlines()
    return (first[0] if first else type(error).__name__)[:100].rstrip(". ")
