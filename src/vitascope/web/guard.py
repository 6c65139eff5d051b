"""Around every request: who may ask, headers that keep a page harmless, and a last net for faults."""

from __future__ import annotations

import asyncio
import logging

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vitascope.web.errors import Refusal
from vitascope.web.watch import CURRENT

log = logging.getLogger(__name__)

_PART = 2**16
_HEADERS = {
    # What comes from this server, and pictures in data: URLs; nothing inside a page runs.
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


class Guard:
    """ASGI middleware.

    `hosts`: the names under which the server may be reached, None for all; see ServeSettings. `answer_bytes`: of large
    answers that clients have not taken yet, all together; the next one becomes 503. `camera`: the pages may ask for it.
    """

    def __init__(self, app: ASGIApp, *, hosts: frozenset[str] | None, answer_bytes: int, camera: bool = False) -> None:
        self._app = app
        self._hosts = hosts
        self._answer_bytes = answer_bytes
        self._held = 0
        camera_for = "self" if camera else ""
        policy = f"camera=({camera_for}), geolocation=(), microphone=()"
        self._headers = {**_HEADERS, "permissions-policy": policy}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start: Message = {}
        started = False

        async def guarded(message: Message) -> None:
            nonlocal start, started
            if message["type"] == "http.response.start":  # goes with the body, whose size decides
                start = message
                return
            size = len(message.get("body", b""))
            if not started:
                if size > _PART and self._held and self._held + size > self._answer_bytes:
                    crowded = Refusal(503, "too many answers are being sent; try again in a second").response()
                    start = {**start, "status": 503, "headers": crowded.raw_headers}
                    message, size = {**message, "body": crowded.body}, 0
                MutableHeaders(scope=start).update(self._headers)
                started = True
                await send(start)
            self._held += size
            body, last = message.get("body", b""), not message.get("more_body", False)
            try:  # piece by piece, so that the connection holds one that the client has not taken, and not all
                for at in range(0, max(len(body), 1), _PART):
                    ends = at + _PART >= len(body)
                    await send({**message, "body": body[at : at + _PART], "more_body": not (last and ends)})
            finally:
                self._held -= size

        try:
            self._admit(Headers(scope=scope), scope["method"])
            await self._app(scope, receive, guarded)
            return
        except Refusal as error:
            refusal = error
        except ClientDisconnect:
            log.debug("a client left while it was sending")
            return
        except asyncio.CancelledError:  # the server ends, and this took longer than it waits
            refusal = Refusal(503, "the server is stopping", {"retry-after": "5"})
        except Exception:
            log.exception("request %s failed", CURRENT.get())
            if started:  # nothing can be said any more: break the connection off, so that the client notices
                raise
            refusal = Refusal(500, "something went wrong in the server; its log says what")
        if not started:
            await refusal.response()(scope, receive, guarded)

    def _admit(self, headers: Headers, method: str) -> None:
        host = headers.get("host", "").lower()
        if self._hosts is not None and _host_name(host) not in self._hosts:
            raise Refusal(421, "this server does not answer to that host name; see --allowed-hosts")
        # Browsers say from which page a request comes; other pages have no business here.
        origin = headers.get("origin")
        own = headers.get("sec-fetch-site") == "same-origin" or host == (origin or "").lower().partition("://")[2] != ""
        if origin is not None and method not in ("GET", "HEAD") and not own:
            raise Refusal(403, "requests from pages of other origins are not answered")


def _host_name(host: str) -> str:
    """ "localhost:8000" → "localhost", "[::1]:8000" → "::1"."""
    return host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
