"""Looks that are held, so that a layer can be asked for later: the longest unused is forgotten first."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vitascope.views.look import Look


@dataclass(frozen=True, kw_only=True)
class HeldLook:
    """A look, what it is asked for by, and what its image was called first."""

    id: str
    """`look_id` of its image."""
    name: str
    """For people."""
    look: Look
    """The insides."""


class Looks:
    """At most `limit` bytes of looks; the newest is held in any case, or no layer of it could be shown."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held: dict[str, HeldLook] = {}

    def __len__(self) -> int:
        return len(self._held)

    @property
    def nbytes(self) -> int:
        """Memory of all that are held."""
        return sum(held.look.nbytes for held in self._held.values())

    def get(self, id: str) -> HeldLook | None:
        """The look of that id, now the last to be forgotten."""
        held = self._held.pop(id, None)
        if held is not None:
            self._held[id] = held
        return held

    def add(self, held: HeldLook) -> None:
        """Holds it, and forgets others until all fit."""
        self._held.pop(held.id, None)
        self._held[held.id] = held
        while self.nbytes > self._limit and len(self._held) > 1:
            del self._held[next(iter(self._held))]


def look_id(content: bytes, size: tuple[int, int], model: str) -> str:
    """16 hexadecimal digits that tell an image's bytes, the size the model sees them at, and the model."""
    head = f"{model}\n{size[0]} {size[1]}\n"
    return hashlib.sha256(head.encode() + content).hexdigest()[:16]
