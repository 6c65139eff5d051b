"""A real server on a free port of this machine, in a thread, for tests."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from PIL import Image

from tiny import start
from tiny_checkpoint import checkpoint
from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.web.app import application
from vitascope.web.engine import Engine
from vitascope.web.server import address_of, make_server, open_socket
from vitascope.web.service import Service
from vitascope.web.settings import ServeSettings


@dataclass(frozen=True, kw_only=True)
class Served:
    """A server that runs, and a client for it."""

    client: httpx.Client
    service: Service
    address: str

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])

    def raw(self, request: bytes, *, timeout: float = 10.0) -> bytes:
        """Everything the server sends for these bytes until it closes, or until `timeout`."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=timeout) as connection:
            connection.sendall(request)
            return receive_all(connection)


def receive_all(connection: socket.socket) -> bytes:
    """Until the other side closes or is silent for the connection's timeout."""
    received = b""
    with suppress(TimeoutError, ConnectionResetError):
        while chunk := connection.recv(65536):
            received += chunk
    return received


@contextmanager
def served(
    ck: Checkpoint | None = None,
    *,
    load: Callable[[], Engine] | None = None,
    folder: Path | None = None,
    wait: bool = True,
    **settings: Any,
) -> Iterator[Served]:
    """Serves `ck`, or what `load` makes, until the context ends; `wait` for the model."""
    chosen = ServeSettings(**{"port": 0, "name": "tiny", "batch_wait": 0.0, **settings})
    ck = ck or checkpoint()
    service = Service(load or (lambda: Engine(ck, max_pixels=chosen.max_pixels, teach=chosen.teach)), chosen)
    opened = open_socket(chosen)
    server = make_server(application(service, folder), chosen)
    address = address_of(opened)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[opened])))
    thread.start()
    try:
        with httpx.Client(base_url=address, timeout=30, trust_env=False) as client:
            if wait:
                service.loaded.result(30)
            yield Served(client=client, service=service, address=address)
    finally:
        server.should_exit = True
        thread.join(30)
        assert not thread.is_alive()


@contextmanager
def process(*words: str | Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`vitascope serve` as a process, and its address once it says that it is ready."""
    running = start("serve", *words, "--port=0", "--device=cpu", "--json")
    try:
        assert running.stdout is not None
        line = running.stdout.readline()
        assert line, running.communicate()
        yield running, json.loads(line)["url"]
    finally:
        running.kill()
        running.communicate()


def png(seed: int = 0, size: tuple[int, int] = (20, 24)) -> bytes:
    """An image file of noise, (height, width)."""
    return encoded("PNG", seed, size)


def encoded(format: str, seed: int = 0, size: tuple[int, int] = (20, 24), **options: Any) -> bytes:
    """As `png`, in another format."""
    rng = np.random.default_rng(seed)
    file = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (*size, 3), np.uint8)).save(file, format, **options)
    return file.getvalue()


def error_of(response: httpx.Response, status: int) -> str:
    """The one line of a refusal, checked for what none may hold."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    content = response.json()
    assert list(content) == ["error"]
    check_words(content["error"])
    return str(content["error"])


def check_words(text: str) -> None:
    """No path, no traceback, one line."""
    assert text
    assert text.count("\n") == 0
    for word in ("Traceback", ".py", "/src/", "site-packages", "vitascope/", "/tmp"):
        assert word not in text


def decoded_rows(array: dict[str, Any]) -> np.ndarray:
    """What the page's JavaScript computes of `payload.rows`."""
    u = np.frombuffer(base64.b64decode(array["data"]), np.uint8).reshape(array["shape"])
    largest = np.frombuffer(base64.b64decode(array["row_max"]), "<f4").reshape(array["shape"][:-1])
    return u / 255 * largest[..., None]


def pixels(n: int) -> np.ndarray:
    """What `inference` sends: float32 (n, 3, 16, 16)."""
    return np.random.default_rng(0).normal(size=(n, 3, 16, 16)).astype(np.float32)


def inference(values: np.ndarray, **changes: Any) -> dict[str, Any]:
    """A request of the Open Inference Protocol, some fields of its tensor changed."""
    tensor = {"name": "pixel_values", "datatype": "FP32", "shape": list(values.shape), "data": values.ravel().tolist()}
    return {"inputs": [{**tensor, **changes}]}
