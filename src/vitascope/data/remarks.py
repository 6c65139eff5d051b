"""What is odd about images that can be read all the same: noticed where they are decoded, told by whoever reads many.

Everything here is a matter of the thread that decodes, so that no image answers for another.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

DARK, DAMAGED_EXIF = "dark", "damaged EXIF"
_TOLD = {
    DARK: "use less than 12 of their 16 bits, so that they are nearly black; multiply the pixels by 16 or save them "
    "with 8 bits, for training and prediction alike",
    DAMAGED_EXIF: "have damaged metadata, so that they may lie on their side; save them anew",
}


class _Here(threading.local):
    decoding = False
    heard: set[str] | None = None


_here = _Here()


class _WhileDecoding(type):
    def __subclasscheck__(cls, category: type) -> bool:
        # `warnings` asks whether a filter is meant; the answer depends on the thread, as no filter of its own can.
        if not (_here.decoding and category is UserWarning):
            return False
        remark(DAMAGED_EXIF)
        return True


class _PillowWarning(Warning, metaclass=_WhileDecoding):
    """What Pillow warns of while this thread decodes: EXIF that breaks off, nothing that concerns the pixels."""


def remark(kind: str) -> None:
    """Notices something about the image that this thread decodes; forgotten where nobody listens."""
    if _here.heard is not None:
        _here.heard.add(kind)


def said(kind: str, which: str) -> str:
    """A line for people: `which` images, what is odd about them, what to do."""
    return f"{which} {_TOLD[kind]}"


@contextmanager
def listening() -> Iterator[set[str]]:
    """The kinds of remark that this thread makes meanwhile."""
    before, _here.heard = _here.heard, set()
    try:
        yield _here.heard
    finally:
        _here.heard = before


@contextmanager
def decoding() -> Iterator[None]:
    """Pillow's warnings become remarks, in this thread alone (`warnings.catch_warnings` is for all of them)."""
    if not warnings.filters or warnings.filters[0][2] is not _PillowWarning:
        warnings.simplefilter("ignore", _PillowWarning)
    before, _here.decoding = _here.decoding, True
    try:
        yield
    finally:
        _here.decoding = before


class Remarks:
    """Remarks about many images, each kind counted, from any thread."""

    def __init__(self) -> None:
        self._alone = threading.Lock()
        self.first: dict[str, str] = {}
        """Kind → the first item by name that it was made about."""
        self.counts: dict[str, int] = {}
        """Kind → how many."""

    def add(self, kinds: set[str], item: str) -> None:
        """Counts those about one item, named as messages do."""
        with self._alone:
            for kind in kinds:
                self.first[kind] = min(item, self.first.get(kind, item))  # whichever thread comes first
                self.counts[kind] = self.counts.get(kind, 0) + 1

    def told(self, total: int) -> dict[str, str]:
        """Kind → a line for people, "3 of 30 images …"."""
        return {kind: said(kind, f"{self.counts[kind]:,} of {total:,} images") for kind in sorted(self.counts)}
