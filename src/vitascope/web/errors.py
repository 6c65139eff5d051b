"""What a client is told when a request cannot be answered: JSON of one line, never a path or a traceback."""

from __future__ import annotations

import json
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from vitascope.errors import ConfigError, ImageError, VitascopeError

INTERNAL = "something went wrong in the server; its log says what"
"""All that a client learns of a fault of the program."""


class Refusal(VitascopeError):
    """A request that is answered with this status and text; `close` ends the connection with it."""

    def __init__(self, status: int, message: str, *, retry_after: int | None = None, close: bool = False) -> None:
        super().__init__(message)
        self.status = status
        self.headers = {} if retry_after is None else {"retry-after": str(retry_after)}
        if close:
            self.headers["connection"] = "close"


def busy(what: str) -> Refusal:
    """503 for now: come again in a second."""
    return Refusal(503, f"{what}; try again in a second", retry_after=1)


def json_response(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Strict JSON (no NaN), which nobody may keep: it is about one client's image."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    # Surrogates come from escapes such as \ud800 in a client's JSON and have no UTF-8.
    body = text.encode("utf-8", errors="replace")
    return Response(body, status, {"cache-control": "no-store", **(headers or {})}, media_type="application/json")


def error_response(status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    """{"error": message}, as the Open Inference Protocol has it."""
    return json_response({"error": " ".join(message.split())}, status, headers)


def install(app: FastAPI) -> None:
    """Makes every error of the routes such JSON."""
    for kind in (Refusal, ImageError, ConfigError, HTTPException, RequestValidationError):
        app.add_exception_handler(kind, _told)


async def _told(request: Request, error: Exception) -> Response:
    match error:
        case Refusal():
            return error_response(error.status, str(error), error.headers)
        case HTTPException():
            said = {404: "no such address", 405: f"{request.method} is not possible at this address"}
            return error_response(error.status_code, said.get(error.status_code, "refused"), dict(error.headers or {}))
        case RequestValidationError():
            first = error.errors()[0]
            return error_response(422, f"{first['loc'][-1]}: {first['msg']}")
    return error_response(422, str(error))
