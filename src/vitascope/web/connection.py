"""One HTTP connection: as uvicorn has it, but patience has an end and refusals are JSON."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol


class Connection(H11Protocol):
    """Closes when the head of a request, or the rest of a body that nobody reads, does not end in `head_timeout`."""

    head_timeout = 10.0
    """Seconds."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """As uvicorn; the clock starts."""
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """As uvicorn; the clock stops when a request is being answered, whose body has a limit of its own."""
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """As uvicorn."""
        self._stop()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """As uvicorn; the next request, or the rest of this one's body, is awaited by the clock."""
        super().on_response_complete()
        self._watch()

    def send_400_response(self, msg: str) -> None:
        """What cannot be read as HTTP, in JSON like every other error."""
        body = json.dumps({"error": "this is not a valid HTTP request"}).encode()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
        ]
        events = (h11.Response(status_code=400, headers=headers), h11.Data(data=body), h11.EndOfMessage())
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            for event in events:
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _watch(self) -> None:
        if self.transport.is_closing() or self._answering():
            self._stop()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(self.head_timeout, self._late)

    def _answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _late(self) -> None:
        self._deadline = None
        if not self._answering() and not self.transport.is_closing():
            self.transport.close()

    def _stop(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
