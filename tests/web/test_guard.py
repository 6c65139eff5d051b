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
            await send({"type": "http.response.body", "body": b"so far", "more_body": True})
        raise error

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    guard = Guard(app, hosts=frozenset(["localhost"]), answer_bytes=2**20)
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
    assert dict(start["headers"])[b"content-security-policy"].startswith(b"default-src 'none'; ")


def test_large_answers_are_bounded_together_and_come_in_parts() -> None:
    """One of them is always possible, or it could never be had."""
    body = bytes(range(256)) * 1000
    parts: list[dict[str, Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})

    guard = Guard(app, hosts=None, answer_bytes=300_000)

    async def other() -> list[dict[str, Any]]:
        sent: list[dict[str, Any]] = []

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        await guard(SCOPE, None, send)  # type: ignore[arg-type]
        return sent

    async def crowded() -> list[dict[str, Any]]:
        seen: list[dict[str, Any]] = []

        async def slow(message: dict[str, Any]) -> None:
            parts.append(message)
            if len(parts) == 3:
                seen.extend(await other())

        await guard(SCOPE, None, slow)  # type: ignore[arg-type]
        assert (await other())[0]["status"] == 200  # there is room again
        return seen

    start, refused = asyncio.run(crowded())
    assert start["status"] == 503
    assert (b"retry-after", b"1") in start["headers"]
    assert (b"content-length", str(len(refused["body"])).encode()) in start["headers"]
    assert b"".join(part.get("body", b"") for part in parts) == body
    assert [part.get("more_body", False) for part in parts[1:]] == [True, True, True, False]
