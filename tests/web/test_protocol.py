"""The Open Inference Protocol v2: tensors and files in, tensors out, and every malformed request a 400 or 404."""

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
from serving import Served, check_words, error_of, png, served
from tiny_checkpoint import TINY, checkpoint
from vitascope.web.engine import Engine

INFER = "/v2/models/tiny/infer"


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    with served(max_images=8, queue=64) as running:
        yield running


@pytest.fixture(autouse=True)
def the_next_request_is_served(server: Served) -> Iterator[None]:
    """After whatever a test did."""
    yield
    assert server.client.post(INFER, json=request(pixels(1))).status_code == 200


def pixels(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, 3, 16, 16)).astype(np.float32)


def request(values: np.ndarray, **changes: Any) -> dict[str, Any]:
    tensor = {"name": "pixel_values", "datatype": "FP32", "shape": list(values.shape), "data": values.ravel().tolist()}
    return {"inputs": [{**tensor, **changes}]}


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
    content = request(values, data=values.tolist()) if nested else request(values)
    answer = server.client.post(INFER, json={**content, "id": "mine"}).json()
    assert (answer["id"], answer["model_name"]) == ("mine", "tiny")
    found = outputs(answer)
    logits = expected(values)
    np.testing.assert_allclose(found["logits"], logits, atol=1e-5)
    np.testing.assert_allclose(found["probabilities"], torch.from_numpy(logits).softmax(1), atol=1e-6)
    assert found["label"].tolist() == [str(i) for i in logits.argmax(1)]
    datatypes = {o["name"]: (o["datatype"], o["shape"]) for o in answer["outputs"]}
    assert datatypes == {"logits": ("FP32", [n, 3]), "probabilities": ("FP32", [n, 3]), "label": ("BYTES", [n])}


def test_a_batch_is_what_its_images_are_alone(server: Served) -> None:
    values = pixels(8)
    together = outputs(server.client.post(INFER, json=request(values)).json())["logits"]
    for row, image in zip(together, values, strict=True):
        alone = outputs(server.client.post(INFER, json=request(image[None])).json())["logits"]
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
    content = {**request(pixels(1)), "outputs": [{"name": "label"}, {"name": "logits"}]}
    answer = server.client.post(INFER, json=content).json()
    assert [o["name"] for o in answer["outputs"]] == ["label", "logits"]


def with_binary(content: dict[str, Any], blob: bytes) -> dict[str, Any]:
    head = json.dumps(content).encode()
    return {"content": head + blob, "headers": {"Inference-Header-Content-Length": str(len(head))}}


def test_tensors_may_follow_the_json_as_bytes(server: Served) -> None:
    values = pixels(4)
    blob = values.astype("<f4").tobytes()
    content = request(values, parameters={"binary_data_size": len(blob)})
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
FLAT = ONE.ravel().tolist()
WRONG: dict[str, tuple[Any, str]] = {
    "NaN": (json.dumps(request(ONE)).replace(str(FLAT[0]), "NaN", 1), "NaN is not JSON"),
    "Infinity": (json.dumps(request(ONE)).replace(str(FLAT[0]), "-Infinity", 1), "-Infinity is not JSON"),
    "too large a number": (request(ONE, data=[1e300, *FLAT[1:]]), "beyond float32"),
    "1e999": (json.dumps(request(ONE)).replace(str(FLAT[0]), "1e999", 1), "beyond float32"),
    "a number of any size": (request(ONE, data=[10**400, *FLAT[1:]]), "not a number"),
    "ragged": (request(ONE, data=[ONE[0, 0].tolist(), ONE[0, 1].tolist()[:3]]), "ragged"),
    "null": (request(ONE, data=[None, *FLAT[1:]]), "not a number"),
    "text": (request(ONE, data=["1", *FLAT[1:]]), "not a number"),
    "booleans": (request(ONE, data=[True] * len(FLAT)), "not a number"),
    "objects": (request(ONE, data=[{}] * len(FLAT)), "not a number"),
    "too few": (request(ONE, data=FLAT[1:]), "shape [767]"),
    "nested otherwise": (request(ONE, data=ONE.reshape(1, 16, 16, 3).tolist()), "shape [1, 16, 16, 3]"),
    "no data": (request(ONE, data=None), 'expected "data"'),
    "data is text": (request(ONE, data="1 2 3"), 'expected "data"'),
    "empty data": (request(ONE, data=[]), "shape [0]"),
    "dtype FP64": (request(ONE, datatype="FP64"), "'FP64', expected 'FP32'"),
    "dtype UINT8": (request(ONE, datatype="UINT8"), "expected 'FP32'"),
    "dtype absent": (request(ONE, datatype=None), "expected 'FP32'"),
    "dtype a list": (request(ONE, datatype=["FP32"]), "expected 'FP32'"),
    "name": (request(ONE, name="input_0"), "no input 'input_0'"),
    "name with a path": (request(ONE, name="../../etc/passwd"), "no input"),
    "name absent": (request(ONE, name=None), "no input"),
    "channels": (request(ONE, shape=[1, 1, 16, 48]), "expected [-1, 3, 16, 16]"),
    "size": (request(ONE, shape=[1, 3, 8, 32]), "expected [-1, 3, 16, 16]"),
    "rank": (request(ONE, shape=[3, 16, 16]), "expected [-1, 3, 16, 16]"),
    "shape 0": (request(ONE, shape=[0, 3, 16, 16], data=[]), "at least 1"),
    "shape negative": (request(ONE, shape=[-1, 3, 16, 16]), "at least 1"),
    "shape of halves": (request(ONE, shape=[1.0, 3, 16, 16]), "whole numbers"),
    "shape of truths": (request(ONE, shape=[True, 3, 16, 16]), "whole numbers"),
    "shape empty": (request(ONE, shape=[]), "whole numbers"),
    "shape huge": (request(ONE, shape=[1] * 100), "whole numbers"),
    "shape absent": (request(ONE, shape=None), "whole numbers"),
    "shape beyond any memory": (request(ONE, shape=[10**9, 3, 16, 16]), "1000000000 images in one request"),
    "too many": (request(pixels(9)), "9 images in one request, expected at most 8"),
    "two inputs": ({"inputs": request(ONE)["inputs"] * 2}, "exactly one tensor"),
    "no inputs": ({"inputs": []}, "exactly one tensor"),
    "inputs absent": ({}, "exactly one tensor"),
    "inputs an object": ({"inputs": {}}, "exactly one tensor"),
    "input a number": ({"inputs": [7]}, "JSON object"),
    "a list": ([1, 2], "JSON object"),
    "a text": ('"x"', "JSON object"),
    "null alone": ("null", "JSON object"),
    "id a number": ({**request(ONE), "id": 7}, "id is expected"),
    "id endless": ({**request(ONE), "id": "x" * 1001}, "id is expected"),
    "outputs unknown": ({**request(ONE), "outputs": [{"name": "secret"}]}, "no output 'secret'"),
    "outputs nameless": ({**request(ONE), "outputs": [{}]}, "no output"),
    "outputs twice": ({**request(ONE), "outputs": [{"name": "label"}] * 2}, "twice"),
    "outputs empty": ({**request(ONE), "outputs": []}, 'expected "outputs"'),
    "outputs a text": ({**request(ONE), "outputs": "label"}, 'expected "outputs"'),
    "outputs a list in one": ({**request(ONE), "outputs": [{"name": []}]}, "no output"),
    "parameters a list": ({**request(ONE), "parameters": []}, "JSON object"),
    "binary without bytes": (request(ONE, parameters={"binary_data_size": 5}), "both data and binary"),
    "image not base64": ({"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "data": ["ä!"]}]}, "base64"),
    "image of numbers": ({"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "data": [7]}]}, "base64"),
    "image count": ({"inputs": [{"name": "image", "datatype": "BYTES", "shape": [2], "data": [""]}]}, "expected 2"),
    "image rank": ({"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1, 1], "data": [""]}]}, "[-1]"),
    "image as FP32": ({"inputs": [{"name": "image", "datatype": "FP32", "shape": [1], "data": [""]}]}, "'BYTES'"),
    "not JSON": ("{", "not JSON: Expecting property name enclosed in double quotes: line 1 column 2"),
    "nothing": ("", "not JSON"),
    "not UTF-8": (b"\xff\xfe\xfa", "not JSON"),
    "nested deeply": ("[" * 100_000, "nested too deeply"),
    "nested objects": ('{"a":' * 100_000, "nested too deeply"),
    "data nested deeply": (request(ONE, data="DEEP"), "ragged"),
    "digits": ('{"id": ' + "9" * 10_000 + "}", "not JSON"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_request_is_400(server: Served, name: str) -> None:
    content, said = WRONG[name]
    text = content if isinstance(content, str | bytes) else json.dumps(content)
    if isinstance(text, str):
        text = text.replace('"DEEP"', "[" * 200 + "]" * 200)
    response = server.client.post(INFER, content=text, headers={"content-type": "application/json"})
    assert said in error_of(response, 400)


@pytest.mark.parametrize(
    ("parameters", "blob", "length", "said"),
    [
        ({"binary_data_size": 8}, bytes(8), None, "expected 3072"),
        ({"binary_data_size": 9}, bytes(8), None, "binary_data_size is 9, but 8 bytes follow"),
        ({"binary_data_size": -1}, b"", None, "whole number"),
        ({"binary_data_size": "8"}, bytes(8), None, "whole number"),
        ({}, bytes(8), None, "no binary_data_size"),
        ({"binary_data_size": 8}, bytes(8), "x", "not a number"),
        ({"binary_data_size": 8}, bytes(8), "-1", "not a number"),
        ({"binary_data_size": 8}, bytes(8), "999999", "but the body has"),
        ({"binary_data_size": 3072}, np.full(768, np.nan, "<f4").tobytes(), None, "NaN"),
    ],
)
def test_wrong_bytes_after_the_json_are_400(
    server: Served, parameters: dict[str, Any], blob: bytes, length: str | None, said: str
) -> None:
    content = request(ONE, parameters=parameters)
    del content["inputs"][0]["data"]
    sent = with_binary(content, blob)
    if length is not None:
        sent["headers"]["Inference-Header-Content-Length"] = length
    assert said in error_of(server.client.post(INFER, **sent), 400)


@pytest.mark.parametrize("blob", [b"\1", b"\1\0\0\0", b"\xff\xff\xff\xff" + bytes(9), b"\0\0\0\0\1\0"])
def test_files_that_end_too_soon_are_400(server: Served, blob: bytes) -> None:
    tensor = {"name": "image", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": len(blob)}}
    response = server.client.post(INFER, **with_binary({"inputs": [tensor]}, blob))
    assert "middle of an element" in error_of(response, 400)


def test_a_file_that_is_no_image_is_422(server: Served) -> None:
    content = {"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "data": ["bm90aGluZw=="]}]}
    assert "not a JPEG" in error_of(server.client.post(INFER, json=content), 422)


def test_values_that_overflow_the_model_are_refused(server: Served) -> None:
    response = server.client.post(INFER, json=request(np.full((1, 3, 16, 16), 3e38, np.float32)))
    assert response.status_code == 200 or "not finite" in error_of(response, 422)


@pytest.mark.parametrize("name", ["other", "TINY", "..%2F..%2Fetc%2Fpasswd", "%00", "tiny%2F..", "ti\u202eny"])
def test_another_model_is_404(server: Served, name: str) -> None:
    for path in ("", "/ready"):
        error_of(server.client.get(f"/v2/models/{name}{path}"), 404)
    error_of(server.client.post(f"/v2/models/{name}/infer", json=request(ONE)), 404)


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
        found = outputs(headless.client.post(INFER, json=request(pixels(2))).json())["features"]
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
                server.client.post(INFER, json=request(ONE)),
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
        while not server.service.ready:
            pass
        assert server.client.get("/v2/health/ready").status_code == 200
        assert server.client.post(INFER, json=request(ONE)).status_code == 200


def test_a_model_that_cannot_be_loaded_is_never_ready() -> None:
    def load() -> Engine:
        raise OSError("/home/me/model is gone")

    with served(load=load, wait=False) as server:
        while server.service.failure is None:
            pass
        assert "could not be loaded" in error_of(server.client.post(INFER, json=request(ONE)), 503)
        assert server.client.get("/v2/health/ready").status_code == 503


def test_version_1_is_the_model_and_others_do_not_exist(server: Served) -> None:
    address = "/v2/models/tiny/versions/1"
    model = server.client.get(address).json()
    assert model == server.client.get("/v2/models/tiny").json()
    assert model["versions"] == ["1"]
    assert server.client.get(f"{address}/ready").json()["ready"] is True
    answer = server.client.post(f"{address}/infer", json={**request(pixels(1)), "model_version": "1"}).json()
    assert answer["model_version"] == "1"
    assert answer == server.client.post(INFER, json=request(pixels(1))).json()
    for method, path in (("GET", ""), ("GET", "/ready"), ("POST", "/infer")):
        response = server.client.request(method, f"/v2/models/tiny/versions/2{path}", json=request(pixels(1)))
        assert "has version 1 alone" in error_of(response, 404)
    response = server.client.post(INFER, json={**request(pixels(1)), "model_version": 2})
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
    content = gzip.compress(json.dumps(request(values)).encode())
    plain = server.client.post(INFER, json=request(values), headers={"accept-encoding": "identity"})
    assert "content-encoding" not in plain.headers
    packed = server.client.post(INFER, content=content, headers={"content-encoding": "gzip"})
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.headers["vary"] == "accept-encoding"
    assert packed.json() == plain.json()


def test_binary_tensors_may_be_gzip(server: Served) -> None:
    values = pixels(8)
    blob = values.astype("<f4").tobytes()
    content = request(values, parameters={"binary_data_size": len(blob)}) | {"parameters": {"binary_data_output": True}}
    del content["inputs"][0]["data"]
    sent = with_binary({**content, "id": "x" * 900}, blob)
    sent["content"] = gzip.compress(sent["content"])
    response = server.client.post(INFER, **{**sent, "headers": {**sent["headers"], "content-encoding": "gzip"}})
    assert response.headers["content-encoding"] == "gzip"
    length = int(response.headers["Inference-Header-Content-Length"])
    first = json.loads(response.content[:length])["outputs"][0]
    logits = np.frombuffer(response.content[length : length + first["parameters"]["binary_data_size"]], "<f4")
    np.testing.assert_allclose(logits.reshape(8, 3), expected(values), atol=1e-5)
