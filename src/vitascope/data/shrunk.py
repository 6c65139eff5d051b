"""Photographs made smaller once, where training needs no more: the one place that changes pixels to save time."""

from __future__ import annotations

from collections.abc import Iterable

from vitascope.data.fingerprint import joined
from vitascope.data.images import UInt8
from vitascope.data.picture import Picture
from vitascope.data.resize import resample
from vitascope.data.source import Source, View


class Shrunk(View):
    """A source's images with their shorter side at most `side` pixels, for crops that need no more.

    JPEG files are decoded at 1/2, 1/4 or 1/8 where that is no smaller. The same pixels wherever they are kept.
    """

    kind = "Shrunk"

    def __init__(self, source: Source, side: int) -> None:
        super().__init__(source)
        self.side, self.together = side, False

    def __getitem__(self, index: int) -> UInt8:
        image = self.source.open(index)
        height, width = image.size
        array = image.read(draft=(self.side, self.side))
        if min(height, width) > self.side:
            scale = self.side / min(height, width)
            size = (max(round(height * scale), self.side), max(round(width * scale), self.side))
            array = resample(array, size, reducing_gap=3.0)
        return array.copy()

    def open(self, index: int) -> Picture:
        return Picture(self[index])

    def identity(self) -> Iterable[bytes]:
        yield f"{self.side} {self.source.fingerprint()}".encode()

    def contents(self) -> str:
        return joined([str(self.side), super().contents()])
