"""A client of Triton and KServe as it comes from its makers, against the real server: nothing here knows our side."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import vitascope as vs
from optional import needs
from serving import Served, pixels, png, served
from tiny_checkpoint import checkpoint
from vitascope.evaluation.sets import PredictionSets

needs("tritonclient")
import tritonclient.http as triton  # noqa: E402

pytestmark = pytest.mark.usefixtures("still_serving")
SETS = PredictionSets(coverage=0.9, least=(0.3,), images=90)


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    with served(checkpoint(sets=SETS), max_images=8, queue=64) as running:
        yield running


@pytest.fixture
def client(server: Served) -> Iterator[Any]:
    with triton.InferenceServerClient(server.address.removeprefix("http://")) as client:
        yield client


def tensor(name: str, values: np.ndarray, *, binary: bool) -> Any:
    found = triton.InferInput(name, list(values.shape), "BYTES" if values.dtype == object else "FP32")
    found.set_data_from_numpy(values, binary_data=binary)
    return found


def test_it_is_alive_ready_and_described(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("tiny")
    assert client.is_model_ready("tiny", "1")
    assert not client.is_model_ready("other")
    assert client.get_server_metadata()["extensions"] == ["binary_tensor_data"]
    model = client.get_model_metadata("tiny")
    assert model["inputs"] == [{"name": "pixel_values", "datatype": "FP32", "shape": [-1, 3, 16, 16]}]
    assert [output["name"] for output in model["outputs"]] == ["logits", "probabilities", "label", "set", "known"]
    (entry,) = client.get_model_repository_index()
    assert (entry["name"], entry["state"]) == ("tiny", "READY")


@pytest.mark.parametrize("asked_binary", [False, True])
@pytest.mark.parametrize("sent_binary", [False, True])
def test_pixels_as_json_and_as_bytes(client: Any, sent_binary: bool, asked_binary: bool) -> None:
    values = pixels(3)
    wanted = [
        triton.InferRequestedOutput(name, binary_data=asked_binary) for name in ("logits", "probabilities", "label")
    ]
    result = client.infer("tiny", [tensor("pixel_values", values, binary=sent_binary)], outputs=wanted, request_id="a")
    found = {name: result.as_numpy(name) for name in ("logits", "probabilities", "label")}
    import torch

    with torch.inference_mode():
        logits = checkpoint().model(torch.from_numpy(values))
    np.testing.assert_allclose(found["logits"], logits.numpy(), atol=1e-5)
    np.testing.assert_allclose(found["probabilities"], logits.softmax(1).numpy(), atol=1e-6)
    labels = [text.decode() if isinstance(text, bytes) else text for text in found["label"]]
    assert labels == [str(index) for index in logits.argmax(1).tolist()]
    assert result.get_response()["id"] == "a"


@pytest.mark.parametrize("coding", [None, "gzip", "deflate"])
def test_files_are_prepared_by_the_server(client: Any, coding: str | None) -> None:
    files = [png(n, (20 + n, 30)) for n in range(4)]
    sent = tensor("image", np.array(files, dtype=object), binary=True)
    how = {"request_compression_algorithm": coding, "response_compression_algorithm": coding}
    result = client.infer("tiny", [sent], **how)
    expected = vs.Predictor(checkpoint()).probabilities(files).numpy()
    found = result.as_numpy("probabilities")
    np.testing.assert_allclose(found, expected, atol=1e-6)
    members = found >= np.float32(0.3)
    np.testing.assert_array_equal(result.as_numpy("set"), members)
    np.testing.assert_array_equal(result.as_numpy("known"), members.any(axis=1))


def test_a_threshold_makes_the_sets(client: Any) -> None:
    image = tensor("image", np.array([png()], dtype=object), binary=True)
    result = client.infer("tiny", [image], parameters={"threshold": 0.5})
    np.testing.assert_array_equal(result.as_numpy("set"), result.as_numpy("probabilities") >= np.float32(0.5))


def test_requests_at_once_are_answered_each(server: Served) -> None:
    with triton.InferenceServerClient(server.address.removeprefix("http://"), concurrency=8) as client:
        files = [png(n) for n in range(24)]
        waiting = [
            client.async_infer("tiny", [tensor("image", np.array([file], dtype=object), binary=True)]) for file in files
        ]
        found = np.concatenate([one.get_result().as_numpy("probabilities") for one in waiting])
    np.testing.assert_allclose(found, vs.Predictor(checkpoint()).probabilities(files).numpy(), atol=1e-6)


def test_what_is_wrong_is_an_error_of_the_client_in_our_words(client: Any) -> None:
    with pytest.raises(triton.InferenceServerException, match=r"expected \[-1, 3, 16, 16\]"):
        client.infer("tiny", [tensor("pixel_values", np.zeros((1, 3, 8, 8), np.float32), binary=True)])
    with pytest.raises(triton.InferenceServerException, match="no such model"):
        client.infer("other", [tensor("pixel_values", pixels(1), binary=True)])
    with pytest.raises(triton.InferenceServerException, match="not a JPEG"):
        client.infer("tiny", [tensor("image", np.array([b"nothing"], dtype=object), binary=True)])
