"""The last net: whatever an application does, a client is told something, and never what went wrong inside."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest
from starlette.requests import ClientDisconnect

from vitascope.web.guard import Guard

SCOPE = {"type": "http", "method": "GET", "path": "/", "headers": [(b"host", b"localhost")]}


def answer(error: BaseException, *, started: bool = False, scope: dict[str, Any] = SCOPE) -> list[dict[str, Any]]:
    """What an application that fails so sends through a guard."""
    sent: list[dict[str, Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if started:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        raise error

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    guard = Guard(app, policy="default-src 'none'", hosts=frozenset(["localhost"]))
    asyncio.run(guard(scope, receive, send))  # type: ignore[arg-type]
    return sent


def test_a_fault_is_logged_and_told_as_500(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        start, body = answer(RuntimeError("/home/me"))
    assert start["status"] == 500
    assert "home" not in json.loads(body["body"])["error"]
    assert "/home/me" in caplog.text


def test_a_fault_within_an_answer_breaks_the_connection_off(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(RuntimeError, match="broken"):
        answer(RuntimeError("broken"), started=True)


def test_what_the_end_of_the_server_cuts_off_is_told_so() -> None:
    start, body = answer(asyncio.CancelledError())
    assert start["status"] == 503
    assert (b"retry-after", b"5") in start["headers"]
    assert json.loads(body["body"]) == {"error": "the server is stopping"}


def test_a_client_that_left_is_told_nothing(caplog: pytest.LogCaptureFixture) -> None:
    assert answer(ClientDisconnect()) == []
    assert not caplog.records


def test_a_foreign_name_never_reaches_the_application() -> None:
    start, _ = answer(AssertionError("reached"), scope={**SCOPE, "headers": [(b"host", b"evil.example")]})
    assert start["status"] == 421
    assert (b"content-security-policy", b"default-src 'none'") in start["headers"]
