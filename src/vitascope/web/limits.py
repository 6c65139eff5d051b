"""Bodies of requests, bounded in size, in time and all together, and the memory of what is made of them."""

from __future__ import annotations

import asyncio
import threading
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from fastapi import Request

from vitascope.memory import total_memory
from vitascope.web.errors import Refusal
from vitascope.web.settings import ServeSettings

_ZLIB = ("gzip", "deflate")
_EITHER = zlib.MAX_WBITS | 32  # the header of one or the other says which it is
_MOST_MEMORY = 2 * 2**30


class Memory:
    """Bytes that threads may take at the same time, given in the order in which they ask."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._taken = 0
        self._turn = threading.Lock()
        self._changed = threading.Condition()

    @contextmanager
    def take(self, size: int) -> Iterator[None]:
        """Waits for as much; raises Refusal (413) where there is never so much."""
        if size > self.limit:
            needed = f"up to {size / 2**20:,.0f} MiB of memory, of which this server gives {self.limit / 2**20:,.0f}"
            raise Refusal(413, f"this needs {needed}; send a smaller one, or large photographs as JPEG")
        with self._turn, self._changed:
            self._changed.wait_for(lambda: self._taken + size <= self.limit)
            self._taken += size
        try:
            yield
        finally:
            with self._changed:
                self._taken -= size
                self._changed.notify_all()


def memory_share() -> int:
    """Bytes for decoding: a quarter of this machine's memory, or its container's, and 2 GiB at most."""
    return int(min(total_memory(), 4 * _MOST_MEMORY)) // 4


class Intake:
    """Reads bodies; `held` counts the bytes of all that are being read or answered."""

    def __init__(self, settings: ServeSettings) -> None:
        self.settings = settings
        self.held = 0

    @asynccontextmanager
    async def body(self, request: Request) -> AsyncIterator[bytes]:
        """The body, held until the context ends.

        gzip and deflate are undone, and what they become counts. Raises Refusal: 413 above `max_bytes`, whether
        announced or counted; 408 when it is late; 415 for another coding, 400 where it is damaged; 503 when all bodies
        together exceed `intake_bytes`.
        """
        coding = request.headers.get("content-encoding", "identity").strip().lower()
        if coding not in ("identity", *_ZLIB):
            raise Refusal(415, f"the body is compressed; expected {' or '.join(_ZLIB)}, or send it as it is")
        # HTTP lets only digits through, but Python does not read thousands of them.
        announced = int(request.headers.get("content-length", "0")[:20])
        self._admit(announced, self.held + announced)
        decoder = zlib.decompressobj(_EITHER) if coding in _ZLIB else None
        seconds = self.settings.upload_timeout
        mine, chunks = 0, []
        try:
            try:
                async with asyncio.timeout(seconds):
                    async for chunk in request.stream():
                        if decoder:  # at most what proves it too large, so that it can be counted before more is held
                            chunk = decoder.decompress(chunk, self.settings.max_bytes + 1 - mine)
                        mine += len(chunk)
                        self.held += len(chunk)
                        self._admit(mine, self.held)
                        chunks.append(chunk)
            except TimeoutError:
                late = f"the body did not arrive within {seconds:g} seconds"
                raise Refusal(408, late, {"connection": "close"}) from None
            except zlib.error:
                raise Refusal(400, "the compressed body is damaged") from None
            if decoder and not decoder.eof:
                raise Refusal(400, "the compressed body is incomplete")
            body = b"".join(chunks)
            chunks.clear()
            yield body
        finally:
            self.held -= mine

    def _admit(self, size: int, together: int) -> None:
        if size > self.settings.max_bytes:
            raise Refusal(413, f"the body is larger than {self.settings.max_bytes:,} bytes; send a smaller image")
        if together > self.settings.intake_bytes:
            raise Refusal(503, "too many bodies are being received; try again in a second")
