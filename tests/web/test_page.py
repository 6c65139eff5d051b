"""The page's files and data: from memory, typed, locked in by a policy, and never of another tab or model."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from serving import Served, check_words, decoded_rows, error_of, png, served
from tiny_checkpoint import TINY, checkpoint, look
from vitascope.evaluation.sets import PredictionSets


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page's files, beside a secret."""
    place = tmp_path_factory.mktemp("place")
    (place / "secret.js").write_text("secret")
    static = place / "static"
    (static / "parts").mkdir(parents=True)
    (static / "index.html").write_text('<script type="module" src="/static/a.js"></script>')
    (static / "a.js").write_text("export const a = 1;")
    (static / "parts" / "b.css").write_text("secret")
    (static / "b.css").write_text("p { color: red }")
    (static / "icon.svg").write_text("<svg/>")
    (static / "notes.py").write_text("secret")
    (static / ".hidden.js").write_text("secret")
    return static


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Served]:
    with served(folder=folder) as running:
        yield running


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/static/a.js", "text/javascript; charset=utf-8"),
        ("/static/b.css", "text/css; charset=utf-8"),
        ("/static/icon.svg", "image/svg+xml"),
    ],
)
def test_files_come_with_their_type_and_are_locked_in(server: Served, path: str, kind: str) -> None:
    response = server.client.get(path)
    assert (response.status_code, response.headers["content-type"]) == (200, kind)
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["x-frame-options"] == "DENY"
    assert response.headers["referrer-policy"] == "no-referrer"
    assert "server" not in response.headers
    again = server.client.get(path, headers={"if-none-match": response.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    head = server.client.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == response.headers["content-length"]


def test_the_policy_allows_this_server_alone(server: Served) -> None:
    policy = server.client.get("/").headers["content-security-policy"]
    rules = {rule.split()[0]: rule.split()[1:] for rule in policy.split("; ")}
    assert rules["default-src"] == ["'none'"]
    for kind in ("script-src", "style-src", "connect-src"):
        assert rules[kind] == ["'self'"]
    assert rules["img-src"] == ["'self'", "data:"]
    assert "unsafe" not in policy
    assert "http" not in policy
    assert server.client.get("/nothing").headers["content-security-policy"] == policy


def test_the_page_that_is_shipped_needs_no_exception_from_the_policy() -> None:
    text = (files("vitascope.web") / "static" / "index.html").read_text()
    assert all(" src=" in tag for tag in re.findall("<script[^>]*>", text))  # nothing inline
    assert "<style" not in text
    assert " style=" not in text  # the policy would ignore it
    assert " onclick=" not in text
    assert "://" not in text


@pytest.mark.parametrize(
    "path",
    [
        "../secret.js",
        "../../tests/serving.py",
        "..%2fsecret.js",
        "%2e%2e/secret.js",
        "%2e%2e%2fsecret.js",
        "..\\secret.js",
        "parts/../../secret.js",
        "/etc/passwd",
        "%00",
        "a.js%00.css",
        "a.js/",
        "parts",
        "parts/",
        "parts/b.css",
        "",
        "notes.py",
        ".hidden.js",
        "A.JS",
        "%ff%fe",
    ],
)
def test_only_the_pages_own_files_exist(server: Served, path: str) -> None:
    request = f"GET /static/{path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
    received = server.raw(request.encode())
    assert received.startswith(b"HTTP/1.1 404"), received
    assert b"secret" not in received
    check_words(received.partition(b"\r\n\r\n")[2].decode())


def test_what_the_page_asks_of_the_model(server: Served) -> None:
    model = server.client.get("/api/model").json()
    assert (model["name"], model["layers"], model["heads"]) == ("tiny", 1, 2)
    ids = [example["id"] for example in model["examples"]]
    assert ids[0].startswith("digit")
    assert {"flower", "china"} <= set(ids)
    for id in ids:
        assert server.client.get(f"/api/examples/{id}").json()["size"] == [16, 16]


def test_large_models_get_photographs_only() -> None:
    with served(checkpoint(replace(TINY, image_size=(48, 32)))) as large:
        assert [e["id"] for e in large.client.get("/api/model").json()["examples"]] == ["flower", "china"]
        assert large.client.get("/api/examples/flower").json()["grid"] == [6, 4]
        error_of(large.client.get("/api/examples/digit-0"), 404)


def test_a_strip_of_patches_has_no_columns_to_tell_of() -> None:
    with served(checkpoint(replace(TINY, image_size=(8, 40)))) as strip:
        locality = strip.client.get("/api/model").json()["locality"]
    assert locality["same_column"] is locality["elsewhere"] is None
    assert -1 <= locality["same_row"] <= 1


def test_a_look_and_its_layers(server: Served) -> None:
    file = png(3, (30, 20))
    expected = look(checkpoint(), file)
    by_form = server.client.post("/api/look", files={"image": ("<img src=x>.png", file)}).json()
    by_body = server.client.post("/api/look", content=file).json()
    assert (by_form["name"], by_body["name"]) == ("<img src=x>.png", "image")
    assert {**by_form, "name": ""} == {**by_body, "name": ""}
    found = [(p["label"], p["index"], p["probability"]) for p in by_form["predictions"]]
    assert [f[:2] for f in found] == [p[:2] for p in expected.predictions]
    assert [f[2] for f in found] == pytest.approx([p[2] for p in expected.predictions], abs=1e-6)
    held = server.client.get(f"/api/looks/{by_form['id']}").json()
    assert held == by_form
    layer = server.client.get(f"/api/looks/{by_form['id']}/layers/0").json()
    assert layer["layer"] == 0
    np.testing.assert_allclose(decoded_rows(layer["attention"]), expected.attention(0), atol=1 / 255)


def test_predictions_of_the_page_are_those_of_predict(server: Served) -> None:
    file = png(4)
    page = server.client.post("/api/look", content=file).json()["predictions"]
    predicted = server.client.post("/predict?top=3", content=file).json()["predictions"][0]["labels"]
    assert [p["label"] for p in page] == [p["label"] for p in predicted]
    assert [p["probability"] for p in page] == pytest.approx([p["probability"] for p in predicted], abs=1e-6)


def test_a_look_has_the_prediction_set_of_other_answers() -> None:
    for least, wanted in ((0.0, ["0", "1", "2"]), (1.0, [])):
        sets = PredictionSets(coverage=0.9, least=(least,), images=50)
        with served(checkpoint(sets=sets)) as calibrated:
            found = calibrated.client.post("/api/look", content=png(4)).json()
            predicted = calibrated.client.post("/predict", content=png(4)).json()["predictions"][0]
        assert (found["set"], found["known"]) == (predicted["set"], predicted["known"]) == (wanted, bool(wanted))
        assert found["coverage"] == 0.9


@pytest.mark.parametrize("layer", ["1", "-1", "x", "1e0", "9" * 50, "%C2%B2"])
def test_a_layer_that_is_not_there_is_404(server: Served, layer: str) -> None:
    id = server.client.post("/api/look", content=png()).json()["id"]
    assert "layers 0 to 0" in error_of(server.client.get(f"/api/looks/{id}/layers/{layer}"), 404)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/api/looks/0123456789abcdef", "no longer held; send it again"),
        ("/api/looks/0123456789abcdef/layers/0", "no longer held; send it again"),
        ("/api/looks/..%2f..%2fmodel", "no such address"),
        ("/api/examples/..%2f..%2fetc%2fpasswd", "no such address"),
        ("/api/examples/tulip", "no such example"),
        ("/api/nothing", "no such address"),
    ],
)
def test_what_is_not_there_is_404_in_words(server: Served, path: str, said: str) -> None:
    assert said in error_of(server.client.get(path), 404)


def test_a_look_at_what_is_no_image_is_refused(server: Served) -> None:
    assert "not a JPEG" in error_of(server.client.post("/api/look", content=b"hello"), 422)
    form = [("image", ("a.png", png())), ("image", ("b.png", png()))]
    assert "one at a time" in error_of(server.client.post("/api/look", files=form), 400)
    error_of(server.client.post("/api/look"), 400)


def test_tabs_and_models_do_not_mix() -> None:
    def changed() -> Any:
        ck = checkpoint()
        with torch.no_grad():
            ck.model.head.linear.bias.add_(1.0)
        return ck

    files = [png(seed) for seed in range(4)]
    with served() as one, served(changed()) as other:
        with ThreadPoolExecutor(8) as threads:  # many tabs, each image in two of them
            looks = list(threads.map(lambda f: one.client.post("/api/look", content=f).json(), files * 2))
        assert [a["id"] for a in looks[:4]] == [a["id"] for a in looks[4:]]
        assert len({a["id"] for a in looks}) == 4
        for file, found in zip(files, looks, strict=False):
            expected = look(checkpoint(), file)
            np.testing.assert_allclose(found["distance"], expected.distance, atol=1e-3)
            layer = one.client.get(f"/api/looks/{found['id']}/layers/0").json()
            np.testing.assert_allclose(decoded_rows(layer["attention"]), expected.attention(0), atol=1 / 255)
            # The same image has another id in another model, so no tab finds a look of the wrong one.
            error_of(other.client.get(f"/api/looks/{found['id']}"), 404)
            assert other.client.post("/api/look", content=file).json()["id"] != found["id"]


def test_old_looks_are_forgotten_and_made_again() -> None:
    with served(looks_bytes=1) as small:
        first = small.client.post("/api/look", content=png(0)).json()
        small.client.post("/api/look", content=png(1))
        assert "no longer held" in error_of(small.client.get(f"/api/looks/{first['id']}/layers/0"), 404)
        assert small.client.post("/api/look", content=png(0)).json() == first
        assert small.client.get(f"/api/looks/{first['id']}/layers/0").status_code == 200
        assert len(small.service.looks) == 1


def test_the_schema_tells_the_addresses_and_loads_nothing_from_elsewhere(server: Served) -> None:
    paths = server.client.get("/openapi.json").json()["paths"]
    assert {"/predict", "/api/look", "/v2/models/{model}/infer"} <= set(paths)
    error_of(server.client.get("/redoc"), 404)
