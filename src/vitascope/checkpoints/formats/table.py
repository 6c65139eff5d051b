"""The foreign formats that are recognised, in the order in which they are asked."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from vitascope.checkpoints.formats import bit, google
from vitascope.checkpoints.formats.found import Draft, Found


@dataclass(frozen=True)
class Reader:
    """How one foreign format is told from the others and read."""

    name: str
    """As `Checkpoint.format` reports it."""
    recognise: Callable[[Collection[str]], bool]
    """Whether tensors of these names are of this format."""
    read: Callable[[Found], Draft]
    """Understands what was found."""


READERS = (
    Reader("google", google.recognise, google.read),
    Reader("google", bit.recognise, bit.read),
)
