"""Connections: more of them than descriptors, idle ones, clients that do not take their answers, and the log of it."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

import vitascope as vs
from serving import Served, png, receive_all, served
from tiny_checkpoint import checkpoint
from vitascope.models.config import ViTConfig
from vitascope.web.server import Seldom, address_of, open_socket
from vitascope.web.settings import ServeSettings

LIVE = b"GET /v2/health/live HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
MANY_TOKENS = ViTConfig(image_size=(256, 256), patch=8, width=16, depth=1, heads=2, hidden=24, classes=3)


def connect(port: int, sent: bytes = b"", window: int = 4096) -> socket.socket:
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
    connection.settimeout(10)
    connection.connect(("127.0.0.1", port))
    connection.sendall(sent)
    return connection


def ticks(pid: int) -> int:
    """Processor time so far, in hundredths of a second."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="reads /proc")
def test_more_clients_than_descriptors(tmp_path: Path) -> None:
    """Idle ones make room: the next client is answered, the log stays short, nothing spins."""
    vs.save(checkpoint(), tmp_path / "tiny")
    limited = "import resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256)); from vitascope.cli import "
    words = ["serve", str(tmp_path / "tiny"), "--port=0", "--device=cpu", "--json"]
    process = subprocess.Popen(
        [sys.executable, "-c", f"{limited} main; sys.exit(main({words!r}))"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        port = int(json.loads(process.stdout.readline())["url"].rpartition(":")[2])
        with ExitStack() as stack:
            for _ in range(300):
                stack.enter_context(connect(port))
            with connect(port, LIVE) as last:
                assert last.recv(65536).startswith(b"HTTP/1.1 200 ")
            assert len(os.listdir(f"/proc/{process.pid}/fd")) < 256
            before = ticks(process.pid)
            time.sleep(1)
            assert ticks(process.pid) - before < 50
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=20)
        assert len(err.splitlines()) < 6, err
    finally:
        process.kill()
        process.communicate()


def test_the_soft_limit_is_raised(tmp_path: Path) -> None:
    code = (
        "import resource as r; _, hard = r.getrlimit(r.RLIMIT_NOFILE); r.setrlimit(r.RLIMIT_NOFILE, (100, hard));"
        "from vitascope.web.app import application; from vitascope.web.server import make_server;"
        "from vitascope.web.service import Service; from vitascope.web.settings import ServeSettings as S;"
        "make_server(application(Service(lambda: None, S())), S()); "
        "print(r.getrlimit(r.RLIMIT_NOFILE)[0] >= min(hard, 4096))"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "True\n"


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="needs IPv6")
def test_every_address_is_both_kinds() -> None:
    with open_socket(ServeSettings(host="::", port=0)) as opened:
        assert address_of(opened).startswith("http://[::1]:")
        connect(opened.getsockname()[1]).close()  # by 127.0.0.1


def test_no_answer_waits_for_the_one_before_it_to_be_acknowledged() -> None:
    with open_socket(ServeSettings(port=0)) as opened, connect(opened.getsockname()[1]), opened.accept()[0] as accepted:
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def large(server: Served) -> bytes:
    """A request for some megabytes."""
    id = server.client.post("/api/look", content=png()).json()["id"]
    return f"GET /api/looks/{id}/layers/0 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()


def test_answers_that_are_not_taken_are_broken_off() -> None:
    with served(checkpoint(MANY_TOKENS), header_timeout=0.8) as server:
        request = large(server)
        with connect(server.port, request) as lazy, connect(server.port, request, 65536) as slow:
            began = time.monotonic()
            received = b""
            while not received.endswith(b"}}") and (chunk := slow.recv(20_000)):
                received += chunk  # takes something now and then, so it gets all
                time.sleep(0.01)
            assert time.monotonic() - began > 1
            head, _, body = received.partition(b"\r\n\r\n")
            assert b"200 OK" in head
            assert json.loads(body)["attention"]["shape"] == [2, 1025, 1025]
            assert len(receive_all(lazy)) < len(body) / 2


def test_what_is_not_taken_does_not_delay_the_end() -> None:
    with ExitStack() as stack:
        with served(checkpoint(MANY_TOKENS), header_timeout=0.5) as server:
            request = large(server)
            for _ in range(4):
                stack.enter_context(connect(server.port, request))
            time.sleep(0.3)
            began = time.monotonic()
        assert time.monotonic() - began < 3


def test_at_most_so_many_and_the_busy_ones_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vitascope.web.server._CONNECTIONS", 3)
    with served(header_timeout=5) as server, ExitStack() as stack:
        server.client.close()
        busy = b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\n"
        idle = [stack.enter_context(connect(server.port)) for _ in range(2)]
        stack.enter_context(connect(server.port, busy))
        stack.enter_context(connect(server.port, busy))
        assert receive_all(idle[0]) == b""
        stack.enter_context(connect(server.port, busy))
        assert receive_all(idle[1]) == b""
        answer = receive_all(stack.enter_context(connect(server.port)))
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: 1" in answer.lower()
        assert "too many connections" in json.loads(answer.partition(b"\r\n\r\n")[2])["error"]


def test_what_clients_cause_is_logged_seldom(caplog: pytest.LogCaptureFixture) -> None:
    upgrade = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade, close\r\n\r\n"
    with served() as server, caplog.at_level(logging.WARNING):
        for _ in range(30):
            server.raw(b"GARBAGE\r\n\r\n")
            assert server.raw(upgrade).startswith(b"HTTP/1.1 200 ")
    assert len(caplog.records) <= 3


def test_every_server_counts_anew(caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(2):
        caplog.clear()
        with served() as server, caplog.at_level(logging.WARNING):
            server.raw(b"GARBAGE\r\n\r\n")
        assert len(caplog.records) == 1


def test_seldom_says_how_many_there_were() -> None:
    seldom = Seldom(every=0.2)

    def passes(text: str) -> logging.LogRecord | None:
        record = logging.LogRecord("a", logging.WARNING, "", 0, text, (1,), None)
        return record if seldom.filter(record) else None

    assert passes("bad %d") is not None
    assert [passes("bad %d") for _ in range(5)] == [None] * 5
    assert passes("other %d") is not None
    time.sleep(0.25)
    last = passes("bad %d")
    assert last is not None
    assert last.getMessage() == "bad 1 (and 5 more like it)"
