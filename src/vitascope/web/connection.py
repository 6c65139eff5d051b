"""One HTTP connection: as uvicorn has it, but there is only so many, patience has an end, and refusals are JSON."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle


class Connection(H11Protocol):
    """Broken off when a request's head, or what a client should take of an answer, is not moving for `patience`.

    So is a request that is not answered and taken after `longest`. At `most` connections a newcomer has the place of
    the one that has been idle longest, or is refused (503) where all are being answered.
    """

    patience = 10.0
    """Seconds."""
    longest = 300.0
    """Seconds."""
    most = 1000
    """Connections of this server at a time."""
    refused: Callable[[int], None] = staticmethod(lambda status: None)
    """Told the status of what is refused here, before there is a request."""

    _answered: RequestResponseCycle | None = None
    _deadline: asyncio.TimerHandle | None = None
    _stalled: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """As uvicorn; the clock starts."""
        super().connection_made(transport)
        if len(self.connections) > self.most and not self._make_room():
            self._refuse(503, "too many connections; try again in a second", "retry-after: 1\r\n")
        self._watch()

    def data_received(self, data: bytes) -> None:
        """As uvicorn; from the end of a head its answer is awaited."""
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

    def pause_writing(self) -> None:
        """As uvicorn; the client must take something soon."""
        super().pause_writing()
        self._stalled = self.loop.call_later(self.patience, self.transport.abort)

    def resume_writing(self) -> None:
        """As uvicorn."""
        super().resume_writing()
        if self._stalled is not None:
            self._stalled.cancel()

    def send_400_response(self, msg: str) -> None:
        """What cannot be read as HTTP, in JSON like every other error."""
        self._refuse(400, "this is not a valid HTTP request")

    def _refuse(self, status: int, message: str, more: str = "") -> None:
        self.refused(status)
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            body = json.dumps({"error": message})
            head = f"HTTP/1.1 {status} Refused\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
            self.transport.write(f"{head}connection: close\r\n{more}\r\n{body}".encode())
        self.transport.close()

    def _make_room(self) -> bool:
        """Breaks off the longest idle of the others, if there is one."""
        others = (other for other in self.connections if isinstance(other, Connection) and other._answered is None)
        idle = [(other._deadline.when(), other) for other in others if other._deadline is not None]
        if not idle:
            return False
        _, oldest = min(idle, key=lambda entry: entry[0])
        oldest._stop()
        oldest.transport.abort()
        return True

    def _stop(self) -> None:
        for timer in (self._deadline, self._stalled):
            if timer is not None:
                timer.cancel()
        self._deadline = self._stalled = None

    def _watch(self) -> None:
        """A clock for every state, kept while the state lasts: also for what is closed and not taken."""
        answering = self.cycle is not None and not self.cycle.response_complete
        answered = self.cycle if answering else None
        if self._deadline is None or answered is not self._answered:
            if self._deadline is not None:
                self._deadline.cancel()
            self._answered = answered
            self._deadline = self.loop.call_later(self.longest if answering else self.patience, self.transport.abort)
