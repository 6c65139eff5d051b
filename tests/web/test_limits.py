"""Bytes and seconds: bodies with and without Content-Length, slow ones, and what comes after them."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator

import pytest

from serving import Served, check_words, error_of, png, receive_all, served

pytestmark = pytest.mark.usefixtures("still_serving")


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    limits = {"max_bytes": 100_000, "intake_bytes": 250_000, "upload_timeout": 0.4, "header_timeout": 0.4}
    with served(**limits) as running:
        yield running


def answer(received: bytes, status: int) -> str:
    """The error in an answer that was read from a socket."""
    head, _, body = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status), received
    assert b"application/json" in head
    text = json.loads(body)["error"]
    check_words(text)
    return str(text)


ADDRESSES = ["/predict", "/v2/models/tiny/infer", "/api/look"]


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_announced_oversize_is_refused_before_it_is_sent(server: Served, address: str) -> None:
    head = f"POST {address} HTTP/1.1\r\nHost: 127.0.0.1\r\nExpect: 100-continue\r\nContent-Length: 100001\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        connection.sendall(head.encode())
        assert "larger than 100,000 bytes" in answer(receive_all(connection), 413)


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize("announced", [True, False])
def test_an_oversize_body_is_413_even_to_clients_that_send_it_all(
    server: Served, address: str, announced: bool
) -> None:
    content = b"x" * 3_000_000

    def pieces() -> Iterator[bytes]:
        for at in range(0, len(content), 50_000):
            yield content[at : at + 50_000]

    response = server.client.post(address, content=content if announced else pieces())
    assert "larger than 100,000 bytes" in error_of(response, 413)


def test_a_body_of_exactly_the_limit_is_read(server: Served) -> None:
    assert "not a JPEG" in error_of(server.client.post("/predict", content=b"x" * 100_000), 422)
    assert "larger" in error_of(server.client.post("/predict", content=b"x" * 100_001), 413)


def test_a_chunked_image_is_predicted(server: Served) -> None:
    response = server.client.post("/predict", content=iter([png()[:100], png()[100:]]))
    assert response.status_code == 200


@pytest.mark.parametrize("length", ["-1", "1e3", "9" * 30, "0x10", "1, 2"])
def test_a_wrong_content_length_is_refused_in_json(server: Served, length: str) -> None:
    head = f"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    received = server.raw(head.encode())
    assert answer(received, 400)


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_slow_body_is_408(server: Served, address: str) -> None:
    began = time.monotonic()
    head = f"POST {address} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\nsome"
    assert "did not arrive within 0.4 seconds" in answer(server.raw(head.encode()), 408)
    assert time.monotonic() - began < 5


def test_a_trickle_is_no_way_around(server: Served) -> None:
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", server.port), timeout=0.05) as connection:
        connection.sendall(b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n")
        received = b""
        while not received and time.monotonic() - began < 5:
            connection.sendall(b"1\r\nx\r\n")
            received = receive_all(connection)
    assert answer(received, 408)


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHo", b"GET / HTTP/1.1\r\n"])
def test_a_head_that_never_ends_is_closed(server: Served, sent: bytes) -> None:
    began = time.monotonic()
    assert server.raw(sent) == b""
    assert 0.2 < time.monotonic() - began < 5


def test_the_rest_of_a_refused_body_is_not_awaited_for_ever(server: Served) -> None:
    began = time.monotonic()
    head = b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 999999\r\n\r\n"
    assert answer(server.raw(head), 413)
    assert time.monotonic() - began < 5


def test_a_connection_stays_open_for_the_next_request(server: Served) -> None:
    one = b"GET /v2/health/live HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    last = one.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        connection.sendall(one)
        received = b""
        while not received.endswith(b'{"live":true}'):
            received += connection.recv(65536)
        time.sleep(0.2)
        connection.sendall(one + last)  # two at once
        assert receive_all(connection).count(b'{"live":true}') == 2


def test_bodies_together_are_bounded(server: Served) -> None:
    head = b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100000\r\n\r\n" + b"x" * 90_000
    waiting = [socket.create_connection(("127.0.0.1", server.port), timeout=5) for _ in range(2)]
    try:
        for connection in waiting:
            connection.sendall(head)
        deadline = time.monotonic() + 5
        while server.service.intake.held < 180_000:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        response = server.client.post("/predict", content=b"x" * 80_000)
        assert "too many bodies" in error_of(response, 503)
        assert response.headers["retry-after"] == "1"
        response = server.client.post("/predict", content=iter([b"x" * 80_000]))
        assert "too many bodies" in error_of(response, 503)
        assert server.client.post("/predict", content=png()).status_code == 200
    finally:
        for connection in waiting:
            connection.close()
    deadline = time.monotonic() + 5
    while server.service.intake.held:  # clients that leave give their bytes back
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.parametrize(
    "sent",
    [
        b"GARBAGE\r\n\r\n",
        b"\r\n\r\n",
        b"GET  HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX\x00: y\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"y" * 200_000 + b"\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100) + b"\r\n\r\n",  # TLS
    ],
)
def test_what_is_not_http_is_400_or_closed(server: Served, sent: bytes) -> None:
    received = server.raw(sent)
    assert received == b"" or answer(received, 400)
