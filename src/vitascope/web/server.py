"""A server in this process: an open socket, then uvicorn, until a signal or until the model cannot be loaded."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import uvicorn
from fastapi import FastAPI

from vitascope.errors import ConfigError
from vitascope.web.app import application
from vitascope.web.connection import Connection
from vitascope.web.service import Service
from vitascope.web.settings import ServeSettings

if TYPE_CHECKING:
    from vitascope.web.engine import Engine

_DESCRIPTORS = 4096
"""Open files that this process asks the system for."""
_OTHERS = 64
"""Of those, for all that is no connection: libraries, the checkpoint, the listening socket."""
_CONNECTIONS = 1000
_BACKLOG = 512
_SEND_BUFFER = 2**17
"""Bytes of an answer that the system holds for a connection: small, so that one sees whether a client takes them."""


def open_socket(settings: ServeSettings) -> socket.socket:
    """Bound to the address and port of the settings; raises ConfigError where that cannot be."""
    host, port = settings.host, settings.port
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except (OSError, UnicodeError) as error:
        raise ConfigError(f"--host is {host!r}, which is no address of this machine; try 127.0.0.1") from error
    both = family == socket.AF_INET6 and socket.has_dualstack_ipv6()  # "::" is every address of IPv4 too
    try:
        opened = socket.create_server(address, family=family, backlog=_BACKLOG, dualstack_ipv6=both)
    except OSError as error:
        why = os.strerror(error.errno).lower() if error.errno else str(error)
        remedy = "choose another --port, or --host"
        raise ConfigError(f"port {port} on {host} cannot be opened ({why}); {remedy}") from error
    # Every connection inherits these; asyncio sets the second only on sockets that were made with TCP's number.
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return opened


def address_of(opened: socket.socket) -> str:
    """Where to open it: "http://127.0.0.1:8000"."""
    host, port = opened.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def serve(
    load: Callable[[], Engine], settings: ServeSettings, opened: socket.socket, on_ready: Callable[[], None]
) -> None:
    """Serves what `load` makes until SIGTERM or Ctrl-C, answers what has begun, then passes the signal on to the
    caller's handlers.

    `on_ready` is called when the model is loaded; if it cannot be, the error is raised here.
    """

    service = Service(load, settings)
    server = make_server(application(service), settings)

    def loaded(_: object) -> None:
        if service.ready:
            on_ready()
        else:
            server.should_exit = True

    service.loaded.add_done_callback(loaded)
    with opened:  # uvicorn closes it only where it got as far as serving
        asyncio.run(server.serve(sockets=[opened]))
    if service.loaded.done():
        service.loaded.result()


def make_server(app: FastAPI, settings: ServeSettings) -> uvicorn.Server:
    """Uvicorn with the settings' patience; `serve(sockets=[…])` runs it, `should_exit = True` ends it in order.

    Connections stay below what the system lets this process open: a quarter of it, and as many may arrive in each of
    the three turns of the event loop that it takes to close those that are too many.
    """
    quarter = max(1, (_descriptors() - _OTHERS) // 4)
    limits = {
        "patience": settings.header_timeout,
        "longest": settings.upload_timeout + 2 * settings.answer_timeout,
        "most": min(_CONNECTIONS, quarter),
        "refused": staticmethod(app.state.refused),
    }
    seldom = Seldom()
    for name in ("uvicorn.error", "asyncio", "python_multipart.multipart", "vitascope.web.guard"):
        logger = logging.getLogger(name)
        logger.filters = [*(f for f in logger.filters if not isinstance(f, Seldom)), seldom]  # every server counts anew
    return uvicorn.Server(
        uvicorn.Config(
            app,
            http=type("Connection", (Connection,), limits),
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            backlog=min(_BACKLOG, quarter),
            timeout_graceful_shutdown=max(1, round(settings.drain_timeout)),
        )
    )


def _descriptors() -> int:
    """How many files this process may open, after asking for more."""
    try:
        import resource
    except ImportError:  # Windows knows no such limit
        return _DESCRIPTORS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(_DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted


class Seldom(logging.Filter):
    """Lets each kind of message through once in `every` seconds, with the number of those left out since."""

    def __init__(self, every: float = 60.0) -> None:
        super().__init__()
        self._every = every
        self._seen: dict[tuple[str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """See `logging.Filter`. A kind is a logger and the beginning of its message, since the rest may vary."""
        kind, now = (record.name, str(record.msg)[:40]), time.monotonic()
        last, left_out = self._seen.get(kind, (-self._every, 0))
        if now - last < self._every:
            self._seen[kind] = (last, left_out + 1)
            return False
        self._seen[kind] = (now, 0)
        if left_out:
            record.msg, record.args = f"{record.getMessage()} (and {left_out} more like it)", ()
        return True
