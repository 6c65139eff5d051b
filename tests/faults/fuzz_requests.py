"""Hostile requests to a real server: malformed, damaged, slow, compressed, broken off and never taken; 127.0.0.1 only.

After every one of them the server must answer the next, within its limits of bytes, and never with 500.
"""

from __future__ import annotations

import base64
import gzip
import json
import random
import socket
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

from faults.fuzz_images import damaged
from serving import Served, served
from tiny_checkpoint import checkpoint

ALLOWED = ("answered", "closed", "left")
_PATHS = ("/predict", "/api/look", "/v2/models/tiny/infer", "/v2/models/tiny/versions/1/infer", "/v2/repository/index")
_GETS = (
    "/",
    "/api/model",
    "/v2",
    "/v2/models/tiny",
    "/static/main.js",
    "/api/looks/x",
    "/..%2f..%2fetc/passwd",
    "/%00",
)
_CLOSE = b"Host: 127.0.0.1\r\nConnection: close\r\n"
_NEW = {"Connection": "close"}  # a kept connection may be ended for its idleness at that very moment
_WITHIN = 8.0  # seconds for the health of the server to be told
_LIMITS = {"max_pixels": 10**6, "max_bytes": 2**20, "upload_timeout": 0.3, "header_timeout": 0.3, "answer_timeout": 20}


def run(seed: int, count: int) -> dict[str, int]:
    """`count` requests → how often each outcome was met; what is no allowed one begins with the request's index."""
    met: Counter[str] = Counter()
    with served(checkpoint(), **_LIMITS) as server:
        for index in range(count):
            draw = random.Random(f"{seed} {index}")
            kind = draw.choice(_KINDS)
            try:
                outcome = _judged(kind(server, draw, damaged(seed, index)))
                began = time.monotonic()
                alive = server.client.get("/v2/health/live", headers=_NEW).status_code
                if alive != 200 or time.monotonic() - began > _WITHIN:
                    outcome = f"then {alive} after {time.monotonic() - began:.1f} s"
            except Exception as error:
                outcome = f"{type(error).__name__} {error}"
            met[outcome if outcome in (*ALLOWED, "refused") else f"{index}: {kind.__name__}: {outcome}"] += 1
        deadline = time.monotonic() + _WITHIN
        while (held := (server.service.intake.held, server.service.batcher.inside)) != (0, 0):
            if time.monotonic() > deadline:
                met[f"at the end {held} bytes and images are held"] += 1
                break
            time.sleep(0.05)
    return dict(met)


def _judged(received: bytes | None) -> str:
    """What the first answer in these bytes is; None for a client that left."""
    if received is None:
        return "left"
    if not received:
        return "closed"
    head, _, body = received.partition(b"\r\n\r\n")
    status = head[9:12]
    if not head.startswith(b"HTTP/1.1 ") or not status.isdigit() or status == b"500":
        return f"{received[:200]!r}"
    if int(status) < 400:
        return "answered"
    if b"content-length: 0" in head.lower() or not body:  # the answer to HEAD
        return "refused"
    error, _ = json.JSONDecoder().raw_decode(body.decode())
    text = error.get("error", "")
    hidden = not any(word in text for word in ("Traceback", ".py", "/src/", "site-packages", "\n"))
    return "refused" if text and hidden else f"{received[:300]!r}"


def _post(draw: random.Random, body: bytes, *headers: bytes) -> bytes:
    length = b"Content-Length: %d\r\n" % len(body)
    return (
        b"POST "
        + draw.choice(_PATHS).encode()
        + b" HTTP/1.1\r\n"
        + _CLOSE
        + length
        + b"".join(headers)
        + b"\r\n"
        + body
    )


def _image(server: Served, draw: random.Random, content: bytes) -> bytes:
    return server.raw(_post(draw, content))


def _form(server: Served, draw: random.Random, content: bytes) -> bytes:
    part = b'--b\r\nContent-Disposition: form-data; name="image"; filename="' + draw.randbytes(9) + b'"\r\n\r\n'
    body = (part + content + b"\r\n") * draw.choice((1, 2, 40)) + b"--b--\r\n" * draw.randrange(2)
    return server.raw(_post(draw, body, b"Content-Type: multipart/form-data; boundary=b\r\n"))


def _tensor(server: Served, draw: random.Random, content: bytes) -> bytes:
    shape = [draw.choice((1, 2, -1, 10**9, 0)), 3, 16, draw.choice((16, 16, 17))]
    data = [draw.choice((0.5, 1, -1e30, 1e40, None, "a"))] * draw.choice((768, 1536, 3))
    pixels = {"name": "pixel_values", "datatype": "FP32", "shape": shape, "data": data}
    image = {"name": "image", "datatype": "BYTES", "shape": [1], "data": [base64.b64encode(content).decode()]}
    text = json.dumps({"id": "\ud800" * draw.randrange(2), "inputs": [draw.choice((pixels, image))]}).encode()
    headers = [b"Inference-Header-Content-Length: %d\r\n" % draw.choice((len(text), 5, 10**8))] * draw.randrange(2)
    return server.raw(_post(draw, text + content * draw.randrange(2), *headers))


def _packed(server: Served, draw: random.Random, content: bytes) -> bytes:
    body = bytearray(gzip.compress(draw.choice((content, bytes(2**23), b'{"inputs":[' + b"[" * 10**5))))
    for _ in range(draw.randrange(3)):
        body[draw.randrange(len(body))] = draw.randrange(256)
    return server.raw(_post(draw, bytes(body), b"Content-Encoding: gzip\r\n"))


def _head(server: Served, draw: random.Random, content: bytes) -> bytes:
    method = draw.choice(("GET", "HEAD", "OPTIONS", "TRACE", "PUT", "CONNECT", "G\u00e9T", "PRI"))
    version = draw.choice(("1.1", "1.1", "1.0", "2.0", "9"))
    odd = [b"", b"X: " + draw.randbytes(20), b"X: " + b"y" * 10**5, b"Upgrade: websocket", b"Expect: 100-continue"]
    odd += [b"Transfer-Encoding: chunked", b"Content-Length: 1\r\nContent-Length: 2", b"Origin: http://evil.example"]
    line = f"{method} {draw.choice(_GETS + _PATHS)} HTTP/{version}\r\n".encode()
    return server.raw(line + _CLOSE + draw.choice(odd) + b"\r\n\r\n")


def _noise(server: Served, draw: random.Random, content: bytes) -> bytes:
    return server.raw(
        draw.choice((content, draw.randbytes(300), b"\r\n" * 500, b"GET / HTTP/1.1\r\n" * 50)) + b"\r\n\r\n"
    )


def _trickle(server: Served, draw: random.Random, content: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        with suppress(ConnectionError):
            for byte in _post(draw, content)[: draw.randrange(1, 40)]:
                connection.sendall(bytes([byte]))
                time.sleep(0.01)
        received = b""
        with suppress(ConnectionError):
            while chunk := connection.recv(65536):
                received += chunk
        return received


def _pipelined(server: Served, draw: random.Random, content: bytes) -> None:
    """Many requests, of which no answer is read, and a reset."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        connection.settimeout(0.5)
        with suppress(OSError):
            connection.sendall(b"GET /static/main.js HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * draw.randrange(1, 300))
        time.sleep(draw.choice((0, 0.05, 0.5)))


def _crowd(server: Served, draw: random.Random, content: bytes) -> None:
    """Connections that say nothing, or begin a request."""
    crowd = [socket.create_connection(("127.0.0.1", server.port), timeout=10) for _ in range(draw.randrange(1, 60))]
    for connection in crowd:
        with suppress(OSError):
            connection.sendall(_post(draw, content)[: draw.randrange(0, 60)])
        if draw.random() < 0.5:
            connection.close()
    time.sleep(draw.choice((0, 0.4)))
    for connection in crowd:
        connection.close()


_KINDS: tuple[Callable[[Served, random.Random, bytes], bytes | None], ...] = (
    *(_image, _form, _tensor, _packed, _head, _noise) * 3,
    *(_trickle, _pipelined, _crowd),
)
