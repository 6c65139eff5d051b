"""How many decoded images may wait for their reader, counted in bytes, as one photograph may be a thousand others."""

from __future__ import annotations

import threading

_WHILE_DECODING = 3  # times its size: Pillow keeps four bytes a pixel, and hands them over in a copy


class Room:
    """Lets threads decode ahead as long as everything being decoded, and not yet taken, fits `most` bytes.

    An image's size is known when it is decoded; until then it counts as three times the `largest` so far. The image
    that the reader waits for is always let in, so that nothing stands still.
    """

    def __init__(self, most: int, largest: int) -> None:
        self.most, self.largest = most, largest
        self._next = self._held = self._decoding = 0
        self._closed = False
        self._changed = threading.Condition()

    def threads(self, most: int) -> int:
        """How many of `most` threads find room at once; others would only keep memory of their own."""
        return max(min(most, self.most // (_WHILE_DECODING * max(self.largest, 1))), 1)

    def enter(self, number: int) -> None:
        """Waits until image `number` may be decoded."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or number <= self._next or self._fits_another())
            self._decoding += 1

    def decoded(self, size: int) -> None:
        """An image is decoded and takes `size` bytes."""
        with self._changed:
            self._decoding -= 1
            self._held += size
            self.largest = max(self.largest, size)
            self._changed.notify_all()

    def wait_for(self, number: int) -> None:
        """The reader wants image `number` next."""
        with self._changed:
            self._next = number
            self._changed.notify_all()

    def taken(self, size: int) -> None:
        """The reader is done with an image of `size` bytes."""
        with self._changed:
            self._held -= size
            self._changed.notify_all()

    def close(self) -> None:
        """Nobody reads any more, so nobody waits."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _fits_another(self) -> bool:
        return self._held + (self._decoding + 1) * _WHILE_DECODING * self.largest <= self.most
