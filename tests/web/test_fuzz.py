"""Seeded nonsense: whatever arrives, the answer is no 500 and the next request is served."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest

from serving import Served, check_words, encoded, png, receive_all, served

INFER = "/v2/models/tiny/infer"
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    # Patience is short, since nonsense often promises more than comes.
    limits = {"max_pixels": 10**6, "max_bytes": 2**20, "upload_timeout": 0.2, "header_timeout": 0.2}
    with served(**limits) as running:
        yield running
        assert running.client.post("/predict", content=png()).status_code == 200
        assert running.service.intake.held == running.service.batcher.inside == 0


def check(response: httpx.Response) -> int:
    """Its status: an answer, or a refusal in words."""
    assert response.status_code < 500, response.text
    if response.status_code >= 400:
        assert response.headers["content-type"] == "application/json"
        check_words(response.json()["error"])
    return response.status_code


def damaged(rng: np.random.Generator, content: bytes) -> bytes:
    """Some bytes changed, some lost, some doubled."""
    data = bytearray(content)
    for _ in range(int(rng.integers(1, 8))):
        at = int(rng.integers(0, max(1, len(data))))
        match int(rng.integers(0, 4)):
            case 0 if data:
                data[at % len(data)] = int(rng.integers(0, 256))
            case 1:
                del data[at : at + int(rng.integers(1, 40))]
            case 2:
                data[at:at] = data[at : at + int(rng.integers(1, 40))]
            case _:
                data[at:at] = rng.bytes(int(rng.integers(1, 9)))
    return bytes(data)


@pytest.mark.parametrize("address", ["/predict", "/api/look"])
def test_bytes_as_images(server: Served, address: str) -> None:
    rng = np.random.default_rng(0)
    heads = [encoded(name)[:16] for name in FORMATS] + [b""]
    for _ in range(60):
        content = heads[int(rng.integers(len(heads)))] + rng.bytes(int(rng.integers(0, 300)))
        assert check(server.client.post(address, content=content)) >= 400


@pytest.mark.parametrize("format", FORMATS)
def test_truncated_and_damaged_images(server: Served, format: str) -> None:
    rng = np.random.default_rng(1)
    whole = encoded(format, size=(40, 56))
    statuses = [
        check(server.client.post("/predict", content=whole[:n])) for n in range(0, len(whole), len(whole) // 20)
    ]
    assert 422 in statuses
    for _ in range(20):
        check(server.client.post("/predict", content=damaged(rng, whole)))


def some_json(rng: np.random.Generator, depth: int = 0) -> Any:
    """A random value that often resembles a request."""
    words = ["inputs", "outputs", "name", "pixel_values", "image", "datatype", "FP32", "BYTES", "shape", "data", "id"]
    words += ["parameters", "binary_data_size", "logits", "", "\ud800", "ü", "../..", "aGk="]
    match int(rng.integers(0, 8 if depth < 4 else 6)):
        case 0:
            return int(rng.integers(-3, 2000))
        case 1:
            return float(rng.normal()) * 10.0 ** int(rng.integers(-300, 300))
        case 2:
            return [None, True, False][int(rng.integers(3))]
        case 3 | 4:
            return words[int(rng.integers(len(words)))]
        case 5:
            return [1, 3, 16, 16]
        case 6:
            return [some_json(rng, depth + 1) for _ in range(int(rng.integers(0, 4)))]
        case _:
            keys = rng.choice(len(words), int(rng.integers(0, 5)), replace=False)
            return {words[int(key)]: some_json(rng, depth + 1) for key in keys}


def test_malformed_inference_requests(server: Served) -> None:
    rng = np.random.default_rng(2)
    tensor = {"name": "pixel_values", "datatype": "FP32", "shape": [1, 3, 16, 16], "data": [0.5] * 768}
    whole: dict[str, Any] = {"id": "x", "inputs": [tensor], "outputs": [{"name": "logits"}], "parameters": {}}
    text = json.dumps(whole).encode()
    statuses = set()
    for _ in range(60):
        changed = json.loads(text)
        holder: Any = [changed, changed["inputs"][0], changed["outputs"][0]][int(rng.integers(3))]
        holder[list(holder)[int(rng.integers(len(holder)))]] = some_json(rng)
        for content in (json.dumps(changed).encode(), json.dumps(some_json(rng)).encode(), damaged(rng, text)):
            headers = {"inference-header-content-length": str(rng.integers(0, 5000))} if rng.random() < 0.2 else {}
            statuses.add(check(server.client.post(INFER, content=content, headers=headers)))
    assert statuses >= {200, 400}


def test_damaged_forms(server: Served) -> None:
    rng = np.random.default_rng(3)
    image = png(size=(8, 8))
    part = (
        b'--bound\r\nContent-Disposition: form-data; name="image"; filename="x.png"\r\nContent-Type: image/png\r\n\r\n'
    )
    whole = (part + image + b"\r\n") * 2 + b"--bound--\r\n"
    kinds = ["multipart/form-data; boundary=bound", 'multipart/form-data; boundary="bound"; charset=nonsense']
    kinds += ["multipart/form-data; boundary=" + "b" * 300, "multipart/form-data;;;=", "multipart/form-data; boundary="]
    kinds += [
        "MULTIPART/FORM-DATA; BOUNDARY=bound",
        'multipart/form-data; boundary="',
        "multipart/form-data; boundary*=x''b",
    ]
    for number in range(120):
        kind = kinds[int(rng.integers(len(kinds)))] if number % 3 == 0 else kinds[0]
        headers = [(b"content-type", damaged(rng, kind.encode()) if number % 10 == 9 else kind.encode())]
        headers = [(name, bytes(b for b in value if 32 < b < 127 or b == 32).strip()) for name, value in headers]
        check(server.client.post("/predict", content=damaged(rng, whole), headers=headers))


def test_odd_headers(server: Served) -> None:
    # A server must take what clients may not send, so these go by socket.
    odd = [b"", b" ", b"\xff" * 10, b"a" * 4000, b"=?utf-8?q?x?=", b"*/*;q=x", b'"', b"-1", b"bytes=9-1", b"gzip"]
    names = ["content-type", "accept", "accept-encoding", "range", "if-none-match", "if-modified-since", "cookie"]
    names += [
        "content-encoding",
        "origin",
        "forwarded",
        "x-forwarded-for",
        "x-forwarded-host",
        "authorization",
        "upgrade",
    ]
    names += ["inference-header-content-length", "sec-fetch-site", "x-http-method-override", "te", "expect"]
    for name in names:
        for value in odd:
            for first, content in ((b"GET /", b""), (b"POST /predict", png(size=(8, 8)))):
                head = first + b" HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
                head += b"Content-Length: %d\r\n" % len(content) + name.encode() + b": " + value + b"\r\n\r\n"
                received = server.raw(head + content)
                assert received == b"" or int(received[9:12]) < 500, (name, value, received)


def test_odd_addresses(server: Served) -> None:
    rng = np.random.default_rng(4)
    parts = [
        b"v2",
        b"models",
        b"tiny",
        b"infer",
        b"api",
        b"looks",
        b"layers",
        b"static",
        b"..",
        b"%2e%2e",
        b"%00",
        b"%",
    ]
    parts += [b"%ff", b"", b"?", b"&top=", b"#", b"%2f", b"~", b"*", b"{}", b"predict", b"[", b"9" * 400]
    methods = [b"GET", b"POST", b"HEAD", b"PUT", b"DELETE", b"OPTIONS", b"PATCH", b"TRACE", b"CONNECT", b"FOO"]
    for _ in range(150):
        chosen = [parts[int(i)] for i in rng.integers(0, len(parts), int(rng.integers(1, 6)))]
        method = methods[int(rng.integers(len(methods)))]
        request = method + b" /" + b"/".join(chosen) + b" HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
        received = server.raw(request)
        status = int(received[9:12])
        assert status < 500, (request, received)
        if status >= 400 and method != b"HEAD":
            check_words(json.loads(received.partition(b"\r\n\r\n")[2])["error"])


def test_nonsense_on_the_wire(server: Served) -> None:
    rng = np.random.default_rng(5)
    whole = b"POST /predict?top=1 HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: image/png\r\nConnection: close\r\n"
    whole += b"Content-Length: %d\r\n\r\n" % len(png(size=(8, 8))) + png(size=(8, 8))
    for number in range(60):
        content = rng.bytes(200) if number % 6 == 0 else damaged(rng, whole)
        with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
            connection.sendall(content)
            connection.shutdown(socket.SHUT_WR)
            received = receive_all(connection)
        assert received == b"" or int(received[9:12]) < 500, (content, received)
