"""Around every request: who may ask, headers that keep a page harmless, and a last net for faults."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vitascope.web.errors import INTERNAL, error_response

log = logging.getLogger(__name__)

_PART = 2**16
_HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}


class Guard:
    """ASGI middleware.

    `hosts`: the names under which the server may be reached, None for all; see ServeSettings. `answer_bytes`: of large
    answers that clients have not taken yet, all together; the next one becomes 503.
    """

    def __init__(self, app: ASGIApp, *, policy: str, hosts: frozenset[str] | None, answer_bytes: int) -> None:
        self._app = app
        self._headers = {**_HEADERS, "content-security-policy": policy}
        self._hosts = hosts
        self._answer_bytes = answer_bytes
        self._held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False
        head = scope["method"] == "HEAD"  # answered as GET, without the body
        start: Message = {}

        async def guarded(message: Message) -> None:
            nonlocal started, start
            if message["type"] == "http.response.start":  # goes with the body, whose size decides
                start = message
                return
            size = 0 if head else len(message.get("body", b""))
            if not started:
                if size > _PART and self._held and self._held + size > self._answer_bytes:
                    crowded = error_response(503, "too many answers are being sent; try again", {"retry-after": "1"})
                    start = {**start, "status": 503, "headers": crowded.raw_headers}
                    message, size = {**message, "body": crowded.body}, 0
                headers = MutableHeaders(scope=start)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
                started = True
                await send(start)
            if head:
                message = {**message, "body": b""}
            self._held += size
            try:
                for part in _parts(message):
                    await send(part)
            finally:
                self._held -= size

        refused = self._refusal(Headers(scope=scope), scope["method"])
        if refused is not None:
            await error_response(*refused)(scope, receive, guarded)
            return
        try:
            await self._app({**scope, "method": "GET"} if head else scope, receive, guarded)
        except ClientDisconnect:
            log.debug("a client left while it was sending")
        except asyncio.CancelledError:  # the server ends, and this took longer than it waits
            if not started:
                await error_response(503, "the server is stopping", {"retry-after": "5"})(scope, receive, guarded)
        except Exception:
            log.exception("a request failed")
            if started:  # nothing can be said any more: break the connection off, so that the client notices
                raise
            await error_response(500, INTERNAL)(scope, receive, guarded)

    def _refusal(self, headers: Headers, method: str) -> tuple[int, str] | None:
        host = headers.get("host", "")
        if self._hosts is not None and _host_name(host) not in self._hosts:
            return 421, "this server does not answer to that host name; see --allowed_hosts"
        origin = headers.get("origin")
        # Browsers say from which page a request comes; other pages have no business here.
        own = headers.get("sec-fetch-site") == "same-origin" or _origin_host(origin) == host.lower()
        if origin is not None and method not in ("GET", "HEAD") and not own:
            return 403, "requests from pages of other origins are not answered"
        return None


def _parts(message: Message) -> Iterator[Message]:
    """A large body piece by piece, so that the connection holds one that the client has not taken, and not all."""
    body = memoryview(message.get("body", b""))
    for at in range(0, len(body) - _PART, _PART):
        yield {**message, "body": body[at : at + _PART].tobytes(), "more_body": True}
    if len(body) > _PART:
        message = {**message, "body": body[(len(body) - 1) // _PART * _PART :].tobytes()}
    yield message


def _host_name(host: str) -> str:
    """ "LOCALHOST:8000" → "localhost", "[::1]:8000" → "::1"."""
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    return name.lower()


def _origin_host(origin: str | None) -> str | None:
    try:
        return urlsplit(origin or "").netloc.lower() or None
    except ValueError:
        return None
