"""Memory of what requests become: waited for in turn, refused where there is never so much."""

from __future__ import annotations

import asyncio
import io
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from serving import error_of, png, served
from tiny_checkpoint import checkpoint
from vitascope.web.engine import Engine
from vitascope.web.errors import Refusal
from vitascope.web.readers import Readers, memory_share
from vitascope.web.tensors import parse_request, parsing_bytes


def deep(side: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.zeros((side, side), np.uint16)).save(file, "PNG")
    return file.getvalue()


def test_images_that_are_large_together_wait_for_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vitascope.web.service.memory_share", lambda: 32 * 600 * 600)
    most = inside = 0
    lock = threading.Lock()

    class Counting(Engine):
        def prepare(self, content: bytes) -> np.ndarray:
            nonlocal most, inside
            with lock:
                inside += 1
                most = max(most, inside)
            time.sleep(0.02)
            try:
                return super().prepare(content)
            finally:
                with lock:
                    inside -= 1

    load = lambda: Counting(checkpoint(), max_pixels=10**6)  # noqa: E731
    with served(load=load, max_pixels=10**6) as server, ThreadPoolExecutor(8) as threads:
        predict = lambda content: server.client.post("/predict", content=content)  # noqa: E731
        assert {r.status_code for r in threads.map(predict, [deep(500)] * 8)} == {200}
        assert (most, inside) == (1, 0)
        assert {r.status_code for r in threads.map(predict, [png()] * 8)} == {200}
        assert most == 2
        assert "of memory" in error_of(predict(deep(601)), 413)
        assert "of memory" in error_of(server.client.post("/api/look", content=deep(601)), 413)
        assert predict(deep(600)).status_code == 200


def test_json_counts_as_what_it_becomes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vitascope.web.service.memory_share", lambda: 2_000_000)
    with served() as server:
        content = b'{"inputs":[' + b"[]," * 20_000 + b"[]]}"
        assert "of memory" in error_of(server.client.post("/v2/models/tiny/infer", content=content), 413)
        error_of(server.client.post("/v2/models/tiny/infer", content=content[:50]), 400)


@pytest.mark.parametrize("worst", [b"[],", b"{},", b'{"":0},', b"[0],", b"0.1,", b'"\\u0100",', b'{"a":{}},'])
def test_no_json_becomes_more_than_is_reckoned(worst: bytes) -> None:
    import json
    import tracemalloc

    body = b"[" + worst * 20_000 + b"0]"
    tracemalloc.start()
    held = json.loads(body)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held
    assert peak <= parsing_bytes(body)
    with pytest.raises(Refusal, match="JSON object"):
        parse_request(body, b"", None)  # type: ignore[arg-type]


def test_no_part_of_a_form_goes_to_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.SpooledTemporaryFile.rollover", None)
    large = png(size=(800, 900))
    assert len(large) > 2 * 2**20  # twice what the library keeps in memory unless told otherwise
    with served() as server:
        assert server.client.post("/predict", files=[("image", ("a.png", large))] * 2).status_code == 200


def test_memory_is_given_in_turn() -> None:
    memory = Readers(10)
    order: list[int] = []

    def take(number: int, size: int) -> None:
        with memory.take(size):
            order.append(number)
            time.sleep(0.05)

    with memory.take(6):
        threads = [threading.Thread(target=take, args=words) for words in ((1, 10), (2, 1), (3, 1))]
        for thread in threads:
            thread.start()
            time.sleep(0.05)
        assert order == []  # the large one is not passed for ever by small ones
    for thread in threads:
        thread.join()
    assert order[0] == 1
    with pytest.raises(Refusal, match="0 MiB of memory"), memory.take(11):
        pass


def test_what_takes_no_memory_does_not_wait_for_those_that_do() -> None:
    async def main() -> None:
        readers = Readers(10)
        with readers.take(6):
            waiting = asyncio.create_task(readers(10, lambda: "large"))
            await asyncio.sleep(0.05)
            assert await asyncio.wait_for(readers(0, lambda: "none"), 5) == "none"
            assert not waiting.done()
        assert await asyncio.wait_for(waiting, 5) == "large"
        readers.shutdown()

    asyncio.run(main())


def test_the_share_is_the_machines() -> None:
    assert 2**26 < memory_share() <= 2**31
