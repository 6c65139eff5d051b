"""Around everything else: a request gets an id, which its answer and the log carry, and is counted when it is over."""

from __future__ import annotations

import logging
import re
import secrets
import time
from contextvars import ContextVar

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vitascope.web.metrics import Metrics

log = logging.getLogger(__name__)

ID = "x-request-id"
"""The header, in requests and in answers."""
CURRENT: ContextVar[str] = ContextVar("request", default="-")
"""Id of the request that is being answered."""
_LEFT = 499
"""In place of a status: the client was gone before there was one."""
_SOUND = re.compile(r"[\w.:+/=-]{1,100}", re.ASCII)


class Watch:
    """ASGI middleware. With `tell` each request is a line of the log; a client's own id is taken where it is sound.

    HEAD is handed on as GET; uvicorn leaves the body out.
    """

    def __init__(self, app: ASGIApp, *, metrics: Metrics, tell: bool = False) -> None:
        self._app = app
        self._metrics = metrics
        self._tell = tell

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get(ID, "")
        id = given if _SOUND.fullmatch(given) else secrets.token_hex(8)
        began, status, method = time.perf_counter(), _LEFT, scope["method"]
        handed = {**scope, "method": "GET" if method == "HEAD" else method}

        async def counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[ID] = id
            await send(message)

        mark = CURRENT.set(id)
        try:
            await self._app(handed, receive, counted)
        finally:
            CURRENT.reset(mark)
            seconds, address = time.perf_counter() - began, _template(handed)
            self._metrics.request(method, address, status, seconds)
            if self._tell:
                log.info("%s %s %s %d %.0f ms", id, method, address, status, 1000 * seconds)


def _template(scope: Scope) -> str:
    """The address with names in place of what clients put there: "/v2/models/{model}"; "other" where there is none."""
    if "endpoint" not in scope:
        return "other"
    parts = scope["path"].split("/")
    for name, value in scope.get("path_params", {}).items():
        if str(value) in parts:
            parts[parts.index(str(value))] = f"{{{name}}}"
    return "/".join(parts)
