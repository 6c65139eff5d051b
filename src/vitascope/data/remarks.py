"""What is odd about images that can be read all the same: noticed where they are decoded, told by whoever reads many.

Everything here is a matter of the thread that decodes, so that no image answers for another.
"""

from __future__ import annotations

import re
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
    heard: set[str] | None = None


_here = _Here()
_PILLOW = re.compile(r"PIL\.")


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


def silence_pillow() -> None:
    """Pillow warns of EXIF that breaks off, nothing that concerns the pixels; what we remark says it once for all."""
    if not warnings.filters or warnings.filters[0][3] != _PILLOW:  # `warnings.catch_warnings` takes it away again
        warnings.filterwarnings("ignore", category=UserWarning, module=_PILLOW.pattern)


class Remarks:
    """Remarks about many images, each kind counted, from any thread."""

    def __init__(self) -> None:
        self._alone = threading.Lock()
        self.first: dict[str, str] = {}
        """Kind → the first item by name that it was made about."""
        self.counts: dict[str, int] = {}
        """Kind → how many."""
        self.items = 0
        """How many were looked at."""

    @contextmanager
    def about(self, item: str) -> Iterator[None]:
        """Counts those that this thread makes meanwhile, about one item, named as messages do."""
        with listening() as kinds:
            yield
        with self._alone:
            self.items += 1
            for kind in kinds:
                self.first[kind] = min(item, self.first.get(kind, item))  # whichever thread comes first
                self.counts[kind] = self.counts.get(kind, 0) + 1

    def told(self) -> dict[str, str]:
        """Kind → a line for people, "3 of 30 images …"."""
        return {kind: said(kind, f"{self.counts[kind]:,} of {self.items:,} images") for kind in sorted(self.counts)}
