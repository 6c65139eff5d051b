"""Bodies of requests, bounded in size, in time and all together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Request

from vitascope.web.errors import Refusal, busy
from vitascope.web.settings import ServeSettings


class Intake:
    """Reads bodies; `held` counts the bytes of all that are being read or answered."""

    def __init__(self, settings: ServeSettings) -> None:
        self._settings = settings
        self.held = 0

    @asynccontextmanager
    async def body(self, request: Request) -> AsyncIterator[bytes]:
        """The body, held until the context ends.

        Raises Refusal: 413 above `max_bytes`, whether announced or counted; 408 when it is late; 415 when it is
        compressed, since a few bytes could become any number; 503 when all bodies together exceed `intake_bytes`.
        """
        self._check_headers(request)
        mine = 0
        chunks: list[bytes] = []
        try:
            try:
                async with asyncio.timeout(self._settings.upload_timeout):
                    async for chunk in request.stream():
                        mine += len(chunk)
                        self.held += len(chunk)
                        self._check_sizes(mine)
                        chunks.append(chunk)
            except TimeoutError:
                raise Refusal(
                    408, f"the body did not arrive within {self._settings.upload_timeout:g} seconds", close=True
                ) from None
            body = b"".join(chunks)
            chunks.clear()
            yield body
        finally:
            self.held -= mine

    def _check_headers(self, request: Request) -> None:
        coding = request.headers.get("content-encoding", "identity").strip().lower()
        if coding != "identity":
            raise Refusal(415, "the body is compressed; send it as it is")
        announced = request.headers.get("content-length")
        if announced is None:
            return
        if not (announced.isascii() and announced.isdigit()):
            raise Refusal(400, "Content-Length is not a number", close=True)
        # By its length first: Python refuses to read numbers of thousands of digits.
        if len(announced) > 18 or int(announced) > self._settings.max_bytes:
            raise self._too_large()
        if self.held + int(announced) > self._settings.intake_bytes:
            raise busy("too many bodies are being received")

    def _check_sizes(self, mine: int) -> None:
        if mine > self._settings.max_bytes:
            raise self._too_large()
        if self.held > self._settings.intake_bytes:
            raise busy("too many bodies are being received")

    def _too_large(self) -> Refusal:
        return Refusal(413, f"the body is larger than {self._settings.max_bytes:,} bytes; send a smaller image")
