"""The Open Inference Protocol v2: tensors and files in, tensors out; what is not there is 404."""

from __future__ import annotations

import base64
import gzip
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

import vitascope as vs
from serving import Served, check_words, error_of, inference, pixels, png, served
from tiny_checkpoint import TINY, checkpoint
from vitascope.evaluation.sets import PredictionSets
from vitascope.web.engine import Engine

pytestmark = pytest.mark.usefixtures("still_serving")

INFER = "/v2/models/tiny/infer"


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    with served(max_images=8, queue=64) as running:
        yield running


def outputs(answer: dict[str, Any]) -> dict[str, np.ndarray]:
    return {o["name"]: np.array(o["data"]).reshape(o["shape"]) for o in answer["outputs"]}


def expected(values: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return checkpoint().model(torch.from_numpy(values)).numpy()


def test_the_server_tells_of_itself_and_its_model(server: Served) -> None:
    assert server.client.get("/v2").json() == {
        "name": "vitascope",
        "version": vs.__version__,
        "extensions": ["binary_tensor_data"],
    }
    assert server.client.get("/v2/health/live").json() == {"live": True}
    assert server.client.get("/v2/health/ready").json() == {"ready": True}
    assert server.client.get("/v2/models/tiny/ready").json() == {"name": "tiny", "ready": True}
    model = server.client.get("/v2/models/tiny").json()
    assert model["inputs"] == [{"name": "pixel_values", "datatype": "FP32", "shape": [-1, 3, 16, 16]}]
    assert model["outputs"] == [
        {"name": "logits", "datatype": "FP32", "shape": [-1, 3]},
        {"name": "probabilities", "datatype": "FP32", "shape": [-1, 3]},
        {"name": "label", "datatype": "BYTES", "shape": [-1]},
    ]


@pytest.mark.parametrize("n", [1, 2, 8])
@pytest.mark.parametrize("nested", [True, False])
def test_tensors_give_the_models_outputs(server: Served, n: int, nested: bool) -> None:
    values = pixels(n)
    content = inference(values, data=values.tolist()) if nested else inference(values)
    answer = server.client.post(INFER, json={**content, "id": "mine"}).json()
    assert (answer["id"], answer["model_name"]) == ("mine", "tiny")
    found = outputs(answer)
    logits = expected(values)
    np.testing.assert_allclose(found["logits"], logits, atol=1e-5)
    np.testing.assert_allclose(found["probabilities"], torch.from_numpy(logits).softmax(1), atol=1e-6)
    assert found["label"].tolist() == [str(i) for i in logits.argmax(1)]
    datatypes = {o["name"]: (o["datatype"], o["shape"]) for o in answer["outputs"]}
    assert datatypes == {"logits": ("FP32", [n, 3]), "probabilities": ("FP32", [n, 3]), "label": ("BYTES", [n])}


@pytest.mark.parametrize("least", [(0.3,), (0.2, 0.9, 0.3)])
def test_prediction_sets_are_outputs_too(least: tuple[float, ...]) -> None:
    sets = PredictionSets(coverage=0.9, least=least, images=50)
    values = pixels(8)
    with served(replace(checkpoint(), sets=sets), max_images=8) as server:
        described = server.client.get("/v2/models/tiny").json()["outputs"][3:]
        told = server.client.post(INFER, json=inference(values)).json()
        wanted = [{"name": "set", "parameters": {"binary_data": True}}, {"name": "known"}]
        answer = server.client.post(INFER, json={**inference(values), "outputs": wanted})
    assert described == [
        {"name": "set", "datatype": "BOOL", "shape": [-1, 3]},
        {"name": "known", "datatype": "BOOL", "shape": [-1]},
    ]
    found = outputs(told)
    expected = sets.members(found["probabilities"])
    assert found["set"].tolist() == expected.tolist()
    assert found["known"].tolist() == expected.any(axis=1).tolist()
    length = int(answer.headers["inference-header-content-length"])
    assert answer.content[length:] == expected.astype("?").tobytes()
    assert answer.content[:length].count(b"true") == expected.any(axis=1).sum()


def test_a_batch_is_what_its_images_are_alone(server: Served) -> None:
    values = pixels(8)
    together = outputs(server.client.post(INFER, json=inference(values)).json())["logits"]
    for row, image in zip(together, values, strict=True):
        alone = outputs(server.client.post(INFER, json=inference(image[None])).json())["logits"]
        np.testing.assert_allclose(alone[0], row, atol=1e-5)


def test_files_are_preprocessed_as_everywhere(server: Served) -> None:
    files = [png(i, (20, 12 + i)) for i in range(3)]
    texts = [base64.b64encode(file).decode() for file in files]
    content = {"inputs": [{"name": "image", "datatype": "BYTES", "shape": [3], "data": texts}]}
    found = outputs(server.client.post(INFER, json=content).json())["probabilities"]
    np.testing.assert_allclose(found, vs.Predictor(checkpoint()).probabilities(files), atol=1e-6)
    by_predict = server.client.post("/predict?top=3", content=files[0]).json()["predictions"][0]["labels"]
    assert {e["index"]: e["probability"] for e in by_predict} == pytest.approx(dict(enumerate(found[0])), abs=1e-6)


def test_only_the_outputs_that_are_wanted_come(server: Served) -> None:
    content = {**inference(pixels(1)), "outputs": [{"name": "label"}, {"name": "logits"}]}
    answer = server.client.post(INFER, json=content).json()
    assert [o["name"] for o in answer["outputs"]] == ["label", "logits"]


def with_binary(content: dict[str, Any], blob: bytes) -> dict[str, Any]:
    head = json.dumps(content).encode()
    return {"content": head + blob, "headers": {"Inference-Header-Content-Length": str(len(head))}}


def test_tensors_may_follow_the_json_as_bytes(server: Served) -> None:
    values = pixels(4)
    blob = values.astype("<f4").tobytes()
    content = inference(values, parameters={"binary_data_size": len(blob)})
    del content["inputs"][0]["data"]
    plain = outputs(server.client.post(INFER, **with_binary(content, blob)).json())
    np.testing.assert_allclose(plain["logits"], expected(values), atol=1e-5)

    content["parameters"] = {"binary_data_output": True}
    response = server.client.post(INFER, **with_binary(content, blob))
    length = int(response.headers["Inference-Header-Content-Length"])
    head, rest = json.loads(response.content[:length]), response.content[length:]
    sizes = [o["parameters"]["binary_data_size"] for o in head["outputs"]]
    assert sum(sizes) == len(rest)
    assert "data" not in head["outputs"][0]
    np.testing.assert_array_equal(np.frombuffer(rest[: sizes[0]], "<f4").reshape(4, 3), plain["logits"])
    assert rest[-sizes[2] :] == b"".join(b"\1\0\0\0" + str(label).encode() for label in plain["label"])


def test_files_may_follow_the_json_as_bytes(server: Served) -> None:
    files = [png(0), png(1)]
    blob = b"".join(len(file).to_bytes(4, "little") + file for file in files)
    tensor = {"name": "image", "datatype": "BYTES", "shape": [2], "parameters": {"binary_data_size": len(blob)}}
    found = outputs(server.client.post(INFER, **with_binary({"inputs": [tensor]}, blob)).json())
    np.testing.assert_allclose(found["probabilities"], vs.Predictor(checkpoint()).probabilities(files), atol=1e-6)


ONE = pixels(1)


def test_a_wrong_request_is_400_in_words(server: Served) -> None:
    response = server.client.post(INFER, content="{", headers={"content-type": "application/json"})
    assert "not JSON: Expecting property name enclosed in double quotes: line 1 column 2" in error_of(response, 400)
    sent = with_binary(inference(ONE), b"")
    sent["headers"]["Inference-Header-Content-Length"] = "x"
    assert "not a number" in error_of(server.client.post(INFER, **sent), 400)


def test_a_file_that_is_no_image_is_422(server: Served) -> None:
    content = {"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "data": ["bm90aGluZw=="]}]}
    assert "not a JPEG" in error_of(server.client.post(INFER, json=content), 422)


def test_values_that_overflow_the_model_are_refused(server: Served) -> None:
    response = server.client.post(INFER, json=inference(np.full((1, 3, 16, 16), 3e38, np.float32)))
    assert response.status_code == 200 or "not finite" in error_of(response, 422)


@pytest.mark.parametrize("name", ["other", "TINY", "..%2F..%2Fetc%2Fpasswd", "%00", "tiny%2F..", "ti\u202eny"])
def test_another_model_is_404(server: Served, name: str) -> None:
    for path in ("", "/ready"):
        error_of(server.client.get(f"/v2/models/{name}{path}"), 404)
    error_of(server.client.post(f"/v2/models/{name}/infer", json=inference(ONE)), 404)


@pytest.mark.parametrize("name", ["..", "../..", "../../etc/passwd", "./tiny", "tiny/.."])
def test_dots_in_an_address_lead_nowhere(server: Served, name: str) -> None:
    for path in ("", "/ready"):  # by a socket, since clients resolve them themselves
        received = server.raw(
            f"GET /v2/models/{name}{path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode()
        )
        assert received.startswith(b"HTTP/1.1 404")
        check_words(json.loads(received.partition(b"\r\n\r\n")[2])["error"])


def test_a_model_without_a_head_gives_features() -> None:
    ck = checkpoint(replace(TINY, classes=0))
    with served(ck) as headless:
        model = headless.client.get("/v2/models/tiny").json()
        assert model["outputs"] == [{"name": "features", "datatype": "FP32", "shape": [-1, 16]}]
        found = outputs(headless.client.post(INFER, json=inference(pixels(2))).json())["features"]
        with torch.inference_mode():
            np.testing.assert_allclose(found, ck.model(torch.from_numpy(pixels(2))), atol=1e-5)


def test_it_is_alive_at_once_and_ready_when_loaded() -> None:
    go = threading.Event()

    def load() -> Engine:
        go.wait(30)
        return Engine(checkpoint(), max_pixels=10**6)

    with served(load=load, wait=False) as server:
        try:
            assert server.client.get("/v2/health/live").status_code == 200
            assert server.client.get("/v2/models/other/ready").status_code == 404
            for path in ("/v2/health/ready", "/v2/models/tiny/ready"):
                response = server.client.get(path)
                assert (response.status_code, response.json()["ready"]) == (503, False)
                assert response.headers["retry-after"] == "1"
            waiting = [
                server.client.get("/v2/models/tiny"),
                server.client.post(INFER, json=inference(ONE)),
                server.client.post("/predict", content=png()),
                server.client.get("/api/model"),
                server.client.post("/api/look", content=png()),
                server.client.get("/api/examples/flower"),
            ]
            for response in waiting:
                assert "being loaded" in error_of(response, 503)
                assert response.headers["retry-after"] == "1"
        finally:
            go.set()
        server.service.loaded.result(30)
        assert server.client.get("/v2/health/ready").status_code == 200
        assert server.client.post(INFER, json=inference(ONE)).status_code == 200


def test_a_model_that_cannot_be_loaded_is_never_ready() -> None:
    def load() -> Engine:
        raise OSError("/home/me/model is gone")

    with served(load=load, wait=False) as server:
        assert server.service.loaded.exception(30) is not None
        assert "could not be loaded" in error_of(server.client.post(INFER, json=inference(ONE)), 503)
        assert server.client.get("/v2/health/ready").status_code == 503


def test_version_1_is_the_model_and_others_do_not_exist(server: Served) -> None:
    address = "/v2/models/tiny/versions/1"
    model = server.client.get(address).json()
    assert model == server.client.get("/v2/models/tiny").json()
    assert model["versions"] == ["1"]
    assert server.client.get(f"{address}/ready").json()["ready"] is True
    answer = server.client.post(f"{address}/infer", json={**inference(pixels(1)), "model_version": "1"}).json()
    assert answer["model_version"] == "1"
    assert answer == server.client.post(INFER, json=inference(pixels(1))).json()
    for method, path in (("GET", ""), ("GET", "/ready"), ("POST", "/infer")):
        response = server.client.request(method, f"/v2/models/tiny/versions/2{path}", json=inference(pixels(1)))
        assert "has version 1 alone" in error_of(response, 404)
    response = server.client.post(INFER, json={**inference(pixels(1)), "model_version": 2})
    assert "model_version" in error_of(response, 400)


def test_the_repository_tells_and_does_not_change(server: Served) -> None:
    known = [{"name": "tiny", "version": "1", "state": "READY", "reason": ""}]
    assert server.client.post("/v2/repository/index").json() == known
    assert server.client.post("/v2/repository/index", json={"ready": True}).json() == known
    assert "JSON object" in error_of(server.client.post("/v2/repository/index", json=[]), 400)
    for action in ("load", "unload"):
        response = server.client.post(f"/v2/repository/models/tiny/{action}", json={})
        assert f"{action} is not possible" in error_of(response, 400)
    error_of(server.client.post("/v2/repository/models/tiny/paint"), 404)


def test_bodies_and_answers_may_be_gzip(server: Served) -> None:
    values = pixels(8)
    content = gzip.compress(json.dumps(inference(values)).encode())
    plain = server.client.post(INFER, json=inference(values), headers={"accept-encoding": "identity"})
    assert "content-encoding" not in plain.headers
    packed = server.client.post(INFER, content=content, headers={"content-encoding": "gzip"})
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.headers["vary"] == "accept-encoding"
    assert packed.json() == plain.json()


def test_binary_tensors_may_be_gzip(server: Served) -> None:
    values = pixels(8)
    blob = values.astype("<f4").tobytes()
    content = inference(values, parameters={"binary_data_size": len(blob)}) | {
        "parameters": {"binary_data_output": True}
    }
    del content["inputs"][0]["data"]
    sent = with_binary({**content, "id": "x" * 900}, blob)
    sent["content"] = gzip.compress(sent["content"])
    response = server.client.post(INFER, **{**sent, "headers": {**sent["headers"], "content-encoding": "gzip"}})
    assert response.headers["content-encoding"] == "gzip"
    length = int(response.headers["Inference-Header-Content-Length"])
    first = json.loads(response.content[:length])["outputs"][0]
    logits = np.frombuffer(response.content[length : length + first["parameters"]["binary_data_size"]], "<f4")
    np.testing.assert_allclose(logits.reshape(8, 3), expected(values), atol=1e-5)
