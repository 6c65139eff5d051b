"""The schema of OpenAPI tells what is so, and the page made of it stands alone and asks nobody."""

from __future__ import annotations

import re
import shlex
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace
from html import unescape
from typing import Any

import pytest

from browsing import Tab, browser
from serving import Served, png, served
from tiny_checkpoint import TINY, checkpoint
from vitascope.evaluation.sets import PredictionSets
from vitascope.web.reference import reference

SETS = PredictionSets(coverage=0.9, least=(0.3,), images=90)


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    with served(checkpoint(sets=SETS, labels=("ant", "bee", "cat"))) as running:
        yield running


@pytest.fixture(scope="module")
def schema(server: Served) -> dict[str, Any]:
    return server.client.get("/openapi.json").json()  # type: ignore[no-any-return]


def keys_of(example: Any, answer: Any) -> None:
    """What an example has, an answer has too."""
    if isinstance(example, dict):
        assert example.keys() <= answer.keys()
        for key, value in example.items():
            if value is not None:
                keys_of(value, answer[key])
    elif isinstance(example, list) and example and answer:
        keys_of(example[0], answer[0])
    else:
        assert isinstance(answer, type(example)) or {type(answer), type(example)} == {int, float}


def example_of(schema: dict[str, Any], method: str, path: str) -> Any:
    return schema["paths"][path][method]["responses"]["200"]["content"]["application/json"]["example"]


def test_examples_have_the_form_of_answers(server: Served, schema: dict[str, Any]) -> None:
    form = [("image", ("a.jpg", png()))]
    keys_of(example_of(schema, "post", "/predict"), server.client.post("/predict", files=form).json())
    keys_of(example_of(schema, "get", "/labels"), server.client.get("/labels").json())
    keys_of(example_of(schema, "get", "/v2/models/{model}"), server.client.get("/v2/models/tiny").json())


def test_examples_are_of_the_model_that_is_served(server: Served, schema: dict[str, Any]) -> None:
    assert example_of(schema, "get", "/labels") == server.client.get("/labels").json()
    assert example_of(schema, "get", "/v2/models/{model}") == server.client.get("/v2/models/tiny").json()
    said = example_of(schema, "post", "/predict")
    assert said["model"] == "tiny"
    assert {each["label"] for each in said["predictions"][0]["labels"]} == {"ant", "bee", "cat"}
    assert example_of(schema, "post", "/v2/models/{model}/infer")["outputs"][0]["data"][0] in ("ant", "bee", "cat")


def test_a_model_without_a_head_has_examples_too_and_of_many_labels_some() -> None:
    with served(checkpoint(replace(TINY, classes=0))) as running:
        schema = running.client.get("/openapi.json").json()
        (output,) = example_of(schema, "post", "/v2/models/{model}/infer")["outputs"]
        assert (output["name"], output["shape"], output["data"][-1]) == ("features", [1, 16], "…")
    with served(checkpoint(replace(TINY, classes=30))) as running:
        assert example_of(running.client.get("/openapi.json").json(), "get", "/labels")["labels"][2:] == ["2", "…"]


def test_every_operation_has_words_and_one_kind_of_error(schema: dict[str, Any]) -> None:
    assert "HTTPValidationError" not in str(schema)
    for operations in schema["paths"].values():
        for operation in operations.values():
            assert operation["summary"]
            assert operation["responses"]["default"] == {"$ref": "#/components/responses/Refusal"}


def test_labels_name_the_probabilities(server: Served) -> None:
    told = server.client.get("/labels").json()
    assert told["labels"] == ["ant", "bee", "cat"]
    assert told["sets"] == {"coverage": 0.9, "least": [0.3], "images": 90}


def test_a_threshold_stands_in_place_of_the_sets(server: Served) -> None:
    def answer(query: str) -> Any:
        return server.client.post(f"/predict?{query}", content=png()).json()["predictions"][0]

    likely = {entry["label"]: entry["probability"] for entry in answer("")["labels"]}
    for least in (0.0, 0.2, 0.3, 0.5, 1.0):
        found = answer(f"threshold={least}")
        assert found["set"] == [label for label in ("ant", "bee", "cat") if likely[label] >= least]
        assert found["known"] is bool(found["set"])
    assert answer("")["set"] == answer("threshold=0.3")["set"]
    for wrong in ("-0.1", "1.1", "nan", "x", ""):
        assert server.client.post(f"/predict?threshold={wrong}", content=png()).status_code == 422


def test_so_it_does_in_the_protocol() -> None:
    tensor = {"name": "pixel_values", "datatype": "FP32", "shape": [1, 3, 16, 16], "data": [0.5] * 768}

    def infer(threshold: Any) -> Any:
        asked = {"inputs": [tensor], "parameters": {"threshold": threshold}}
        return plain.client.post("/v2/models/tiny/infer", json=asked)

    with served() as plain:  # without sets of its own
        for least in (0, 0.4, 1):
            found = {output["name"]: output["data"] for output in infer(least).json()["outputs"]}
            assert found["set"] == [p >= least for p in found["probabilities"]]
            assert found["known"] == [any(found["set"])]
        for wrong in (-1, 2, "0.5", True, [0.5]):
            assert "threshold is expected to be a number from 0 to 1" in infer(wrong).json()["error"]
        assert "set" not in [o["name"] for o in infer(None).json()["outputs"]]


def test_the_examples_on_the_page_can_be_called(server: Served, tmp_path: Any) -> None:
    page = server.client.get("/docs")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    calls = [unescape(call) for call in re.findall(r"<pre><code>(curl .*?)</code></pre>", page.text)]
    assert len(calls) >= 12
    for call in calls:
        words = shlex.split(call)
        address = next(word for word in words if word.startswith(server.address))
        if "{" in address or "repository" in address:
            continue
        if "-F" in words:
            answer = server.client.post(address, files={"image": ("a.jpg", png())})
        elif "-d" in words:
            body = words[words.index("-d") + 1].replace("BASE64 OF A FILE", b64encode(png()).decode())
            answer = server.client.post(address, content=body)
        else:
            answer = server.client.get(address)
        assert answer.status_code == 200, (call, answer.text)


def test_a_host_name_becomes_no_markup(schema: dict[str, Any]) -> None:
    assert "<b>&" not in reference(schema, "tiny", "http://a<b>&")
    assert "http://a&lt;b&gt;&amp;/predict" in reference(schema, "tiny", "http://a<b>&")


@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_stands_alone(server: Served, width: int) -> None:
    from playwright.sync_api import expect

    with browser() as chromium:
        page = Tab(chromium.new_context(viewport={"width": width, "height": 844}))
        page.page.goto(f"{server.address}/docs")
        expect(page.page.locator("h1")).to_have_text("tiny over HTTP")
        assert page.page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.page.evaluate("document.scripts.length") == 0
        page.open(server.address)
        page.page.get_by_role("link", name="What programs can ask this server").click()
        expect(page.page.locator("h1")).to_have_text("tiny over HTTP")
        assert page.errors == []
        assert page.hosts() <= {server.address.removeprefix("http://"), ""}
