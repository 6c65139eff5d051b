"""PyTorch's own files (.pth, .bin), which are pickles: only through `weights_only=True`, and bounded first."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor

from vitascope.checkpoints.limits import MAX_BYTES, size_text
from vitascope.errors import CheckpointError

_MAX_PICKLE = 64 << 20
_WRAPPERS = ("state_dict_ema", "model_ema", "state_dict", "model")


def is_torch(path: Path) -> bool:
    """Whether the file is a pickle or a zip archive around one, as `torch.save` writes them."""
    with path.open("rb") as stream:
        start = stream.read(2)
    if start[:1] == b"\x80":
        return True
    if start != b"PK":
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.rsplit("/", 1)[-1] == "data.pkl" for name in archive.namelist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return False


def read_torch(path: Path, max_bytes: int = MAX_BYTES) -> dict[str, Tensor]:
    """Name → tensor of the state dict in the file, also where it lies under "state_dict" or "model".

    No code of the file ever runs: whatever is not a plain tensor or container is refused. Raises
    `CheckpointError`.
    """
    size = path.stat().st_size
    if size > max_bytes:
        raise CheckpointError(f"{path}: {size_text(size)}, at most {size_text(max_bytes)} are accepted")
    try:
        _refuse_compressed(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about storages of old files
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=False)
        return _state_dict(content, path)
    except CheckpointError:
        raise
    except UnpicklingError as error:
        raise CheckpointError(
            f"{path}: holds Python objects beside tensors, which are never loaded "
            f"({_reason(error)}); ask its author for a safetensors file"
        ) from error
    except MemoryError as error:
        raise CheckpointError(f"{path}: claims more memory than there is") from error
    except Exception as error:  # the unpickler meets damaged bytes with any exception there is
        raise CheckpointError(f"{path}: damaged PyTorch file ({_reason(error)}); fetch it again") from error


def _refuse_compressed(path: Path) -> None:
    # torch.save stores without compression; a compressed member is a bomb or not a weights file.
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if member.file_size > member.compress_size:
                raise CheckpointError(f"{path}: {member.filename} is compressed, which torch.save never does")
            if member.filename.endswith(".pkl") and member.file_size > _MAX_PICKLE:
                raise CheckpointError(f"{path}: {member.filename} takes {size_text(member.file_size)}")


def _state_dict(content: Any, path: Path) -> dict[str, Tensor]:
    for wrapper in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
            break
    if not isinstance(content, Mapping) or not content:
        raise CheckpointError(f"{path}: holds a {type(content).__name__}, expected a state dict of tensors")
    odd = [str(name) for name, value in content.items() if not isinstance(value, Tensor)]
    if odd:
        raise CheckpointError(f"{path}: {', '.join(odd)} in the state dict are not tensors")
    held = sum(tensor.numel() * tensor.element_size() for tensor in content.values())
    if held > 4 * path.stat().st_size + (1 << 20):  # one stored number, expanded to any shape
        raise CheckpointError(f"{path}: claims {size_text(held)} of tensors that it does not store")
    # A tensor may be a view of a larger one, or of another's memory.
    return {str(name).removeprefix("module."): tensor.detach().clone() for name, tensor in content.items()}


def _reason(error: Exception) -> str:
    text = str(error)
    marker = "WeightsUnpickler error:"
    if marker in text:
        text = text.split(marker, 1)[1]
    first = text.strip().splitlines()
    return (first[0] if first else type(error).__name__)[:160].rstrip(". ")
