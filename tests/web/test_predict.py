"""POST /predict: the library's predictions, and every wrong request refused in words."""

from __future__ import annotations

import asyncio
import gzip
import logging
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import numpy as np
import pytest

import vitascope as vs
from serving import Served, encoded, error_of, png, served
from tiny_checkpoint import TINY, checkpoint
from vitascope.models.config import BiTConfig

pytestmark = pytest.mark.usefixtures("still_serving")


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    with served() as running:
        yield running


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes that claims this many pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def pairs(prediction: dict[str, Any]) -> dict[str, float]:
    return {entry["label"]: entry["probability"] for entry in prediction["labels"]}


def test_the_answer_is_the_librarys(server: Served) -> None:
    files = [png(i, (10 + i, 30)) for i in range(5)]
    expected = vs.Predictor(checkpoint())(files, top=3)
    form = [("image", (f"{i}.png", file)) for i, file in enumerate(files)]
    answer = server.client.post("/predict", files=form).json()
    assert answer["model"] == "tiny"
    assert [p["name"] for p in answer["predictions"]] == [f"{i}.png" for i in range(5)]
    for file, prediction, known in zip(files, answer["predictions"], expected, strict=True):
        assert [(e["label"], e["index"]) for e in prediction["labels"]] == [(label, i) for label, i, _ in known]
        assert [e["probability"] for e in prediction["labels"]] == pytest.approx([p for *_, p in known], abs=1e-6)
        alone = server.client.post("/predict", content=file).json()["predictions"]
        assert len(alone) == 1
        assert pairs(alone[0]) == pytest.approx(pairs(prediction), abs=1e-6)


@pytest.mark.parametrize(("top", "count"), [(1, 1), (2, 2), (3, 3), (1000, 3)])
def test_top_says_how_many(server: Served, top: int, count: int) -> None:
    (prediction,) = server.client.post(f"/predict?top={top}", content=png()).json()["predictions"]
    assert len(prediction["labels"]) == count
    assert prediction["labels"][0]["probability"] == max(e["probability"] for e in prediction["labels"])


@pytest.mark.parametrize("top", ["0", "-1", "x", "1.5", "", "9" * 5000])
def test_a_wrong_top_is_refused(server: Served, top: str) -> None:
    assert "top" in error_of(server.client.post(f"/predict?top={top}", content=png()), 422)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF"])
@pytest.mark.parametrize("kind", ["image/png", "application/octet-stream", "application/x-www-form-urlencoded", ""])
def test_a_raw_body_is_read_by_its_content(server: Served, format: str, kind: str) -> None:
    headers = {"content-type": kind} if kind else {}
    response = server.client.post("/predict", content=encoded(format), headers=headers)
    assert response.status_code == 200


FORM = "multipart/form-data; boundary=b"
PART = b'--b\r\nContent-Disposition: form-data; name="image"; filename="x.png"\r\n\r\n'


@pytest.mark.parametrize(
    ("content", "kind", "status", "said"),
    [
        (b"", "image/png", 400, "no image received"),
        (b"", "", 400, "no image received"),
        (b"hello", "text/plain", 415, "expected an image"),
        (b"{}", "application/json", 415, "expected an image"),
        (b"hello", "image/png", 422, "not a JPEG, PNG"),
        (b"%!PS-Adobe-3.0 EPSF-3.0", "image/png", 422, "not a JPEG, PNG"),
        (png()[:60], "image/png", 422, "damaged"),
        (bomb(12000, 12000), "image/png", 422, "144,000,000 pixels, expected at most 50,000,000"),
        (bomb(2**31 - 1, 2**31 - 1), "image/png", 422, "pixels"),
        (b"", FORM, 400, "malformed"),
        (b"nonsense", FORM, 400, "malformed"),
        (PART + png(), FORM, 400, "malformed"),  # no end
        (PART + png() + b"\r\n--b--\r\n", "multipart/form-data", 400, "boundary"),
        (PART + b"\r\n--b--\r\n", FORM, 422, "no bytes"),
        (PART.replace(b"image", b"file") + png() + b"\r\n--b--\r\n", FORM, 400, "no image received"),
        (PART.replace(b"form-data; ", b"") + png() + b"\r\n--b--\r\n", FORM, 400, "Content-Disposition"),
        (PART.replace(b' filename="x.png"', b"") + b"aGk=\r\n--b--\r\n", FORM, 400, "as a file in the form field"),
        (PART.replace(b"image", b"x") + b"z\r\n--b--\r\n", FORM + "; charset=undefined", 400, "charset"),
        (PART.split(b"; filename")[0] + b"\r\n\r\n" + b"z" * 20_000 + b"\r\n--b--\r\n", FORM, 400, "16KB"),
        ((PART.split(b"; filename")[0] + b"\r\n\r\nz\r\n") * 40 + b"--b--\r\n", FORM, 400, "many fields"),
        (b"--b\r\nX: " + b"y" * 9000 + b"\r\n\r\nz\r\n--b--\r\n", FORM, 400, "malformed"),
        ((PART + b"x\r\n") * 33 + b"--b--\r\n", FORM, 413, "more than 32 images"),
    ],
)
def test_a_wrong_body_is_refused(server: Served, content: bytes, kind: str, status: int, said: str) -> None:
    response = server.client.post("/predict", content=content, headers={"content-type": kind} if kind else {})
    assert said in error_of(response, status)


def test_the_unreadable_one_of_several_is_told(server: Served) -> None:
    form = [("image", ("a.png", png())), ("image", ("b.png", b"nothing"))]
    assert error_of(server.client.post("/predict", files=form), 422).startswith("image 2 of 2: ")


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("../../etc/x.jpg", "x.jpg"),
        ("..\\..\\x.jpg", "x.jpg"),
        ("/", None),
        ("..", None),
        ("a\tb.png", "ab.png"),
        ("<script>alert(1)<", "<script>alert(1)<"),  # text in JSON; the page never makes markup of it
        ("ü" * 300, "ü" * 200),
    ],
)
def test_a_file_name_is_only_shown(server: Served, sent: str, shown: str | None) -> None:
    body = b'--b\r\nContent-Disposition: form-data; name="image"; filename="' + sent.replace("\\", "\\\\").encode()
    body += b'"\r\n\r\n' + png() + b"\r\n--b--\r\n"
    response = server.client.post("/predict", content=body, headers={"content-type": FORM})
    assert response.json()["predictions"][0]["name"] == shown


@pytest.mark.parametrize(("coding", "compress"), [("deflate", zlib.compress), ("GZIP", gzip.compress)])
def test_a_compressed_body_is_what_it_was(server: Served, coding: str, compress: Callable[[bytes], bytes]) -> None:
    headers = {"content-encoding": coding}
    plain = server.client.post("/predict", content=png()).json()
    assert server.client.post("/predict", content=compress(png()), headers=headers).json() == plain
    assert "incomplete" in error_of(server.client.post("/predict", content=compress(png())[:-9], headers=headers), 400)
    assert "damaged" in error_of(server.client.post("/predict", content=png(), headers=headers), 400)
    bomb = compress(bytes(2**26))
    assert "larger than" in error_of(server.client.post("/predict", content=bomb, headers=headers), 413)


def test_another_coding_is_refused(server: Served) -> None:
    response = server.client.post("/predict", content=png(), headers={"content-encoding": "br"})
    assert "expected gzip or deflate" in error_of(response, 415)


@pytest.mark.parametrize("path", ["/predict/", "/nothing", "/predict/../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd"])
def test_another_address_is_404(server: Served, path: str) -> None:
    assert error_of(server.client.get(path), 404) == "no such address"


def test_another_method_is_405(server: Served) -> None:
    response = server.client.get("/predict")
    assert "not possible" in error_of(response, 405)
    assert response.headers["allow"] == "POST"


def test_a_local_server_answers_local_names_only(server: Served) -> None:
    for name in ("evil.example", "evil.example:8000", "127.0.0.1.evil.example", ""):
        error_of(server.client.post("/predict", content=png(), headers={"host": name}), 421)
    for name in ("localhost", "LOCALHOST:1", "127.0.0.1:80", "[::1]:8000"):
        assert server.client.post("/predict", content=png(), headers={"host": name}).status_code == 200


def test_pages_of_other_origins_are_refused(server: Served) -> None:
    for origin in ("https://evil.example", "null", "http://127.0.0.1:1", "http://[", ""):
        error_of(server.client.post("/predict", content=png(), headers={"origin": origin}), 403)
    own = server.client.post("/predict", content=png(), headers={"origin": server.address})
    assert own.status_code == 200


def test_a_fault_is_a_500_that_tells_nothing(
    server: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(images: Any) -> Any:
        raise RuntimeError("secret at /home/me/model.py")

    with monkeypatch.context() as patch, caplog.at_level(logging.ERROR):
        patch.setattr(server.service.engine, "forward", fail)
        response = server.client.post("/predict", content=png())
    assert error_of(response, 500) == "something went wrong in the server; its log says what"
    assert "secret at /home/me/model.py" in caplog.text


def test_outputs_that_are_not_finite_are_refused(server: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(server.service.engine, "forward", lambda images: np.full((len(images), 3), np.nan, np.float32))
        assert "not finite" in error_of(server.client.post("/predict", content=png()), 422)


def together(server: Served, files: list[bytes]) -> list[httpx.Response]:
    async def all_at_once() -> list[httpx.Response]:
        limits = httpx.Limits(max_connections=len(files))
        async with httpx.AsyncClient(base_url=server.address, timeout=60, limits=limits, trust_env=False) as client:
            return list(await asyncio.gather(*(client.post("/predict?top=3", content=file) for file in files)))

    return asyncio.run(all_at_once())


def test_a_hundred_at_once_are_all_answered_rightly(server: Served) -> None:
    files = [png(i, (12, 12 + i % 9)) for i in range(100)]
    expected = vs.Predictor(checkpoint())(files, top=3)
    for response, known in zip(together(server, files), expected, strict=True):
        assert response.status_code == 200
        assert pairs(response.json()["predictions"][0]) == pytest.approx({label: p for label, _, p in known}, abs=1e-6)


def test_more_than_the_queue_holds_are_told_to_come_again() -> None:
    files = [png(i) for i in range(100)]
    expected = vs.Predictor(checkpoint())(files, top=3)
    with served(queue=8, max_images=8, batch=4, batch_wait=0.05) as small:
        responses = together(small, files)
        for response, known in zip(responses, expected, strict=True):
            if response.status_code == 503:
                assert "queue is full" in error_of(response, 503)
                assert response.headers["retry-after"] == "1"
            else:
                found = pairs(response.json()["predictions"][0])
                assert found == pytest.approx({label: p for label, _, p in known}, abs=1e-6)
        assert {response.status_code for response in responses} == {200, 503}
        assert small.service.batcher.inside == 0
        assert together(small, files[:8])[-1].status_code == 200


def test_an_answer_that_takes_too_long_is_a_503(monkeypatch: pytest.MonkeyPatch) -> None:
    with served(answer_timeout=0.1, batch_wait=0.5) as slow:
        response = slow.client.post("/predict", content=png())
        assert "not answered within 0.1 seconds" in error_of(response, 503)
        assert int(response.headers["retry-after"]) > 0
        assert slow.service.batcher.inside == 0


def test_a_model_without_a_head_says_so() -> None:
    from dataclasses import replace

    with served(checkpoint(replace(TINY, classes=0))) as headless:
        assert "no head" in error_of(headless.client.post("/predict", content=png()), 422)


def test_a_resnet_is_served_too() -> None:
    config = BiTConfig(image_size=(32, 32), units=(1, 1, 1, 1), base_width=32, small_images=True, classes=3)
    with served(checkpoint(config)) as resnet:
        assert resnet.client.post("/predict", content=png()).status_code == 200
        assert (
            resnet.client.get("/api/model").json()["closed"]
            == "A BiT has no attention to look at; its answers are here."
        )
        best = resnet.client.post("/predict", content=png()).json()["predictions"][0]["labels"][0]
        look = resnet.client.post("/api/look", content=png()).json()
        assert look["predictions"][0] == best
