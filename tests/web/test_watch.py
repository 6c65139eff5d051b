"""What a server tells of itself: figures that Prometheus reads, and an id for every request."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator

import numpy as np
import pytest

from serving import Served, error_of, png, served

LINE = re.compile(r'([a-z_]+)(?:\{((?:[a-z]+="(?:[^"\\\n]|\\.)*",?)+)\})? (-?[0-9.e+-]+)')


@pytest.fixture
def server() -> Iterator[Served]:
    with served(log_requests=True) as running:
        yield running


def figures(server: Served) -> dict[str, float]:
    """Each line of /metrics: name and labels → value; everything is typed before it comes."""
    answer = server.client.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert answer.text.endswith("\n")
    found: dict[str, float] = {}
    typed: set[str] = set()
    for line in answer.text.splitlines():
        if line.startswith("#"):
            typed |= {line.split()[2]} if line.startswith("# TYPE ") else set()
            continue
        matched = LINE.fullmatch(line)
        assert matched, line
        name, labels, value = matched.groups()
        assert name in typed or re.sub(r"_(bucket|sum|count)$", "", name) in typed
        found[f"{name}{{{labels}}}" if labels else name] = float(value)
    return found


def requests(found: dict[str, float]) -> dict[tuple[str, ...], int]:
    counted = {key: value for key, value in found.items() if key.startswith("vitascope_requests_total")}
    return {tuple(re.findall(r'"(.*?)"', key)): int(value) for key, value in counted.items()}


def test_requests_are_counted_by_address_and_status(server: Served) -> None:
    client = server.client
    for n in range(3):
        assert client.post("/predict", content=png(n)).status_code == 200
    client.post("/predict", content=b"nothing")
    client.get("/predict")
    client.head("/v2/models/tiny")
    for n in range(20):
        client.get(f"/v2/models/other-{n}")
        client.get(f"/nothing/{n}")
        client.request(f"ODD{n}", "/predict")
    server.raw(b"no HTTP at all\r\n\r\n")
    found = figures(server)
    assert requests(found) == {
        ("POST", "/predict", "200"): 3,
        ("POST", "/predict", "422"): 1,
        ("GET", "/predict", "405"): 1,
        ("HEAD", "/v2/models/{model}", "200"): 1,
        ("GET", "/v2/models/{model}", "404"): 20,
        ("GET", "other", "404"): 20,
        ("other", "/predict", "405"): 20,
        ("other", "connection", "400"): 1,
    }
    assert found['vitascope_request_seconds_count{address="/predict"}'] == 25
    buckets = [value for key, value in found.items() if key.startswith('vitascope_request_seconds_bucket{address="/pr')]
    assert buckets == sorted(buckets)
    assert buckets[-1] == 25
    assert 0 < found['vitascope_request_seconds_sum{address="/predict"}'] < 60


def test_batches_queue_and_state_are_told(server: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    server.client.post("/predict", files=[("image", png(n)) for n in range(5)])
    found = figures(server)
    assert found["vitascope_batch_images_sum"] == 5
    assert found['vitascope_batch_images_bucket{le="32"}'] == found["vitascope_batch_images_count"]
    assert found["vitascope_forward_seconds_count"] == found["vitascope_batch_images_count"]
    assert (found["vitascope_ready"], found["vitascope_queue_images"], found["vitascope_queue_images_limit"]) == (
        1,
        0,
        256,
    )
    assert found["vitascope_forward_failures_total"] == 0
    assert any(key.startswith('vitascope_info{version="') and 'model="tiny"' in key for key in found)

    def fail(images: np.ndarray) -> np.ndarray:
        raise RuntimeError("broken")

    with monkeypatch.context() as patch:
        patch.setattr(server.service.engine, "forward", fail)
        error_of(server.client.post("/predict", content=png()), 500)
    assert figures(server)["vitascope_forward_failures_total"] == 1


def test_they_are_there_before_the_model() -> None:
    from threading import Event

    free = Event()
    with served(load=lambda: free.wait(30) and None, wait=False) as early:  # type: ignore[arg-type,return-value]
        assert figures(early)["vitascope_ready"] == 0
        free.set()


def test_prometheus_own_parser_reads_them(server: Served) -> None:
    parser = pytest.importorskip("prometheus_client.parser", reason="NOT TESTED: no prometheus_client")
    server.client.post("/predict", content=png())
    families = {f.name: f for f in parser.text_string_to_metric_families(server.client.get("/metrics").text)}
    assert families["vitascope_requests"].type == "counter"
    assert families["vitascope_batch_images"].type == "histogram"
    assert [s.value for s in families["vitascope_requests"].samples] == [1.0]


@pytest.mark.parametrize(
    ("given", "taken"),
    [("7f-a/b:c.d=1", True), ("", False), ("a b", False), ("x" * 101, False), ('a"b', False), ("a\tb", False)],
)
def test_every_answer_has_an_id(server: Served, given: str, taken: bool) -> None:
    for answer in (
        server.client.get("/v2", headers={"x-request-id": given}),
        server.client.get("/nothing", headers={"x-request-id": given}),
        server.client.get("/v2", headers={"x-request-id": given, "host": "evil.example"}),
    ):
        found = answer.headers["x-request-id"]
        assert found == given if taken else re.fullmatch("[0-9a-f]{16}", found)


def test_the_log_has_it_too(server: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def fail(images: np.ndarray) -> np.ndarray:
        raise RuntimeError("broken")

    with caplog.at_level(logging.INFO, "vitascope.web"), monkeypatch.context() as patch:
        patch.setattr(server.service.engine, "forward", fail)
        answer = server.client.post("/predict?top=1", content=png(), headers={"x-request-id": "mine"})
        assert answer.status_code == 500
        server.client.get("/v2/models/a%0ab")
    said = [record.getMessage() for record in caplog.records]
    assert "request mine failed" in said
    assert any(re.fullmatch(r"mine POST /predict 500 \d+ ms", line) for line in said)
    assert any(re.fullmatch(r"[0-9a-f]{16} GET /v2/models/\{model\} 404 \d+ ms", line) for line in said)
