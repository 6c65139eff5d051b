"""JSON of looks: what the page decodes is what was there, to eight bits."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from serving import decoded_rows, png
from tiny_checkpoint import TINY, checkpoint, look
from vitascope.errors import ConfigError
from vitascope.views.look import Look, scope
from vitascope.web import payload
from vitascope.web.service import HeldLook, Looks, look_id


def decoded(array: dict[str, Any]) -> np.ndarray:
    """What the page's JavaScript computes of an `array`."""
    u = np.frombuffer(base64.b64decode(array["data"]), np.uint8).reshape(array["shape"])
    return array["min"] + u / 255 * (array["max"] - array["min"])


@pytest.fixture(scope="module")
def seen() -> Look:
    return look(checkpoint(), png())


@pytest.mark.parametrize("values", [[[-3.0, 0.5], [2.0, 7.0]], [[1.0, 1.0]], [[0.0]], np.zeros((0, 3))])
def test_an_array_comes_back_to_eight_bits(values: Any) -> None:
    packed = json.loads(json.dumps(payload.array(values), allow_nan=False))
    numbers = np.asarray(values)
    assert decoded(packed).shape == numbers.shape
    step = np.ptp(numbers) / 255 if numbers.size else 0
    np.testing.assert_allclose(decoded(packed), numbers, atol=step / 2 + 1e-12)
    if numbers.size:
        assert (packed["min"], packed["max"]) == (numbers.min(), numbers.max())


def test_rows_come_back_each_to_eight_bits_of_its_own_largest() -> None:
    values = np.array([[1e-6, 5e-7, 0], [0.9, 0.1, 1e-9], [0, 0, 0]], np.float32)
    error = np.abs(decoded_rows(payload.rows(values)) - values)
    assert (error <= values.max(axis=1, keepdims=True) / 255 / 2 + 1e-12).all()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_refused(value: float) -> None:
    for pack in (payload.array, payload.rows):
        with pytest.raises(ConfigError, match="not finite"):
            pack([[0.0, value]])


def test_a_look_as_json(seen: Look) -> None:
    packed = json.loads(json.dumps(payload.look_payload(seen, "id", "<b>.png"), allow_nan=False))
    assert (packed["id"], packed["name"], packed["size"]) == ("id", "<b>.png", [16, 16])
    assert (packed["grid"], packed["patch"], packed["prefix"]) == ([2, 2], [8, 8], 1)
    picture = Image.open(io.BytesIO(base64.b64decode(packed["image"].removeprefix("data:image/png;base64,"))))
    np.testing.assert_array_equal(np.asarray(picture), seen.image)
    assert [(p["label"], p["index"]) for p in packed["predictions"]] == [(label, i) for label, i, _ in seen.predictions]
    assert [[p["probability"] for p in layer] for layer in packed["lens"]] == [[p for *_, p in x] for x in seen.lens]
    np.testing.assert_allclose(decoded(packed["rollout"]), seen.rollout, atol=2e-3)
    np.testing.assert_allclose(decoded(packed["class_maps"]), seen.class_maps, atol=4e-3)
    np.testing.assert_allclose(packed["distance"], seen.distance, atol=1e-3)
    np.testing.assert_allclose(packed["share"], seen.share, atol=1e-3)
    assert "set" not in packed
    attention = payload.layer_payload(seen, 0)
    assert attention["layer"] == 0
    np.testing.assert_allclose(decoded_rows(attention["attention"]), seen.attention(0), atol=1 / 255)


@pytest.mark.parametrize(
    ("changes", "who"),
    [
        ({}, "the class token looks"),
        ({"pooling": "token+mean"}, "the class token looks"),
        ({"pooling": "token+distillation", "registers": 1}, "the class and the distillation token look on average"),
        ({"pooling": "mean"}, "the patches look on average"),
        ({"pooling": "attention", "class_token": False}, "the patches look on average"),
    ],
)
def test_it_says_who_looks(changes: dict[str, Any], who: str) -> None:
    held = checkpoint(replace(TINY, **changes))
    assert payload.look_payload(look(held, png()), "id", "name")["who_looks"] == who


def test_a_model_as_json() -> None:
    known = scope(checkpoint())
    examples = [{"id": "a", "name": "A"}]
    packed = json.loads(json.dumps(payload.model_payload(known, "tiny", examples), allow_nan=False))
    assert packed["name"] == "tiny"
    assert (packed["layers"], packed["heads"], packed["grid"], packed["classes"]) == (1, 2, [2, 2], 3)
    assert (packed["image_size"], packed["examples"]) == ([16, 16], examples)
    assert packed["filters"]["shape"] == list(known.filters.shape)
    assert packed["similarity"]["shape"] == [2, 2, 2, 2]
    assert packed["locality"].keys() >= {"correlation", "same_row"}


def held(id: str, seen: Look) -> HeldLook:
    return HeldLook(id=id, name=id, look=seen)


def test_the_longest_unused_look_is_forgotten_first(seen: Look) -> None:
    looks = Looks(3 * seen.nbytes)
    for id in "abc":
        looks.add(held(id, seen))
    assert looks.get("a") is not None
    looks.add(held("d", seen))
    assert looks.get("b") is None
    assert all(looks.get(id) for id in "acd")
    looks.add(held("d", seen))  # again: counted once
    assert (len(looks), looks.nbytes) == (3, 3 * seen.nbytes)


def test_the_newest_look_is_held_whatever_its_size(seen: Look) -> None:
    looks = Looks(1)
    for id in "ab":
        looks.add(held(id, seen))
        assert looks.get(id) is not None
    assert (len(looks), looks.nbytes) == (1, seen.nbytes)


def test_an_id_tells_content_size_and_model() -> None:
    ids = [
        look_id(b"a", (1, 12), "m"),
        look_id(b"b", (1, 12), "m"),
        look_id(b"a", (11, 2), "m"),
        look_id(b"a", (1, 12), "n"),
    ]
    assert len(set(ids)) == 4
    assert all(len(id) == 16 and int(id, 16) >= 0 for id in ids)
    assert look_id(b"a", (1, 12), "m") == ids[0]
