"""The foreign formats: how each is told from the others, read and written. One entry per file beside this."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.checkpoints.formats import bit, google, huggingface, huggingface_writer, timm, torchvision
from vitascope.checkpoints.formats.found import Draft, Found


class Write(Protocol):
    """Writes a file or folder atomically; raises `CheckpointError` for what the format cannot say."""

    def __call__(self, checkpoint: Checkpoint, path: Path, *, overwrite: bool = False) -> None: ...


@dataclass(frozen=True)
class Reader:
    """How one foreign format is told from the others and read."""

    name: str
    """As `Checkpoint.format` reports it."""
    anchor: re.Pattern[str]
    """A name that all its files hold once; see `unwrap.py`."""
    read: Callable[[Found], Draft]
    """Understands what was found."""


READERS = (
    Reader("google", google.ANCHOR, google.read),
    Reader("google", bit.ANCHOR, bit.read),
    Reader("huggingface", huggingface.ANCHOR, huggingface.read),
    Reader("timm", timm.ANCHOR, timm.read),
    Reader("torchvision", torchvision.ANCHOR, torchvision.read),
)

WRITERS: dict[str, Write] = {
    "google": google.write,
    "timm": timm.write,
    "huggingface": huggingface_writer.write,
    "torchvision": torchvision.write,
}
