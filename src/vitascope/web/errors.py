"""What a client is told when a request cannot be answered: JSON of one line, never a path or a traceback."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from vitascope.errors import ConfigError, ImageError, VitascopeError

NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class Refusal(VitascopeError):
    """A request that is answered with this status and text; 503 is for now: come again in a second."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] = NO_HEADERS) -> None:
        super().__init__(message)
        self.status = status
        self.headers = {**({"retry-after": "1"} if status == 503 else {}), **headers}

    def response(self) -> Response:
        """{"error": message}, as the Open Inference Protocol has it."""
        return json_response({"error": " ".join(str(self).split())}, self.status, self.headers)


def json_response(content: Any, status: int = 200, headers: Mapping[str, str] = NO_HEADERS) -> Response:
    """Strict JSON (no NaN), which nobody may keep: it is about one client's image."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    # Surrogates come from escapes such as \ud800 in a client's JSON and have no UTF-8.
    body = text.encode("utf-8", errors="replace")
    return Response(body, status, {"cache-control": "no-store", **headers}, media_type="application/json")


async def _told(request: Request, error: Exception) -> Response:
    match error:
        case Refusal():
            return error.response()
        case HTTPException(status_code=status):
            said = {404: "no such address", 405: f"{request.method} is not possible at this address"}
            return Refusal(status, said.get(status, "refused"), error.headers or NO_HEADERS).response()
        case RequestValidationError():
            first = error.errors()[0]
            return Refusal(422, f"{first['loc'][-1]}: {first['msg']}").response()
    return Refusal(422, str(error)).response()


HANDLERS: dict[int | type[Exception], Any] = dict.fromkeys(
    (Refusal, ImageError, ConfigError, HTTPException, RequestValidationError), _told
)
"""Errors of the routes → what makes such JSON of them."""
