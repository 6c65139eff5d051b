"""Requests for inference: whatever is wrong with one is 400 and a line."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from serving import check_words, inference, pixels
from vitascope.web.errors import Refusal
from vitascope.web.tensors import IMAGE, PIXELS, Signature, parse_request, split

SIGNATURE = Signature(
    inputs={PIXELS: ("FP32", (3, 16, 16)), IMAGE: ("BYTES", ())},
    outputs={"logits": ("FP32", (3,)), "probabilities": ("FP32", (3,)), "label": ("BYTES", ())},
    max_images=8,
)


def refused(body: bytes, length: str | None = None) -> str:
    """What is said of a body."""
    with pytest.raises(Refusal) as caught:
        parse_request(*split(body, length), SIGNATURE)
    assert caught.value.status == 400
    check_words(str(caught.value))
    return str(caught.value)


ONE = pixels(1)
FLAT = ONE.ravel().tolist()
WRONG: dict[str, tuple[Any, str]] = {
    "NaN": (json.dumps(inference(ONE)).replace(str(FLAT[0]), "NaN", 1), "NaN is not JSON"),
    "Infinity": (json.dumps(inference(ONE)).replace(str(FLAT[0]), "-Infinity", 1), "-Infinity is not JSON"),
    "too large a number": (inference(ONE, data=[1e300, *FLAT[1:]]), "beyond float32"),
    "1e999": (json.dumps(inference(ONE)).replace(str(FLAT[0]), "1e999", 1), "beyond float32"),
    "a number of any size": (inference(ONE, data=[10**400, *FLAT[1:]]), "not a number"),
    "ragged": (inference(ONE, data=[ONE[0, 0].tolist(), ONE[0, 1].tolist()[:3]]), "ragged"),
    "null": (inference(ONE, data=[None, *FLAT[1:]]), "not a number"),
    "text": (inference(ONE, data=["1", *FLAT[1:]]), "not a number"),
    "booleans": (inference(ONE, data=[True] * len(FLAT)), "not a number"),
    "objects": (inference(ONE, data=[{}] * len(FLAT)), "not a number"),
    "too few": (inference(ONE, data=FLAT[1:]), "shape [767]"),
    "nested otherwise": (inference(ONE, data=ONE.reshape(1, 16, 16, 3).tolist()), "shape [1, 16, 16, 3]"),
    "no data": (inference(ONE, data=None), 'expected "data"'),
    "data is text": (inference(ONE, data="1 2 3"), 'expected "data"'),
    "empty data": (inference(ONE, data=[]), "shape [0]"),
    "dtype FP64": (inference(ONE, datatype="FP64"), "'FP64', expected 'FP32'"),
    "dtype UINT8": (inference(ONE, datatype="UINT8"), "expected 'FP32'"),
    "dtype absent": (inference(ONE, datatype=None), "expected 'FP32'"),
    "dtype a list": (inference(ONE, datatype=["FP32"]), "expected 'FP32'"),
    "name": (inference(ONE, name="input_0"), "no input 'input_0'"),
    "name with a path": (inference(ONE, name="../../etc/passwd"), "no input"),
    "name absent": (inference(ONE, name=None), "no input"),
    "channels": (inference(ONE, shape=[1, 1, 16, 48]), "expected [-1, 3, 16, 16]"),
    "size": (inference(ONE, shape=[1, 3, 8, 32]), "expected [-1, 3, 16, 16]"),
    "rank": (inference(ONE, shape=[3, 16, 16]), "expected [-1, 3, 16, 16]"),
    "shape 0": (inference(ONE, shape=[0, 3, 16, 16], data=[]), "at least 1"),
    "shape negative": (inference(ONE, shape=[-1, 3, 16, 16]), "at least 1"),
    "shape of halves": (inference(ONE, shape=[1.0, 3, 16, 16]), "whole numbers"),
    "shape of truths": (inference(ONE, shape=[True, 3, 16, 16]), "whole numbers"),
    "shape empty": (inference(ONE, shape=[]), "whole numbers"),
    "shape huge": (inference(ONE, shape=[1] * 100), "whole numbers"),
    "shape absent": (inference(ONE, shape=None), "whole numbers"),
    "shape beyond any memory": (inference(ONE, shape=[10**9, 3, 16, 16]), "1000000000 images in one request"),
    "too many": (inference(pixels(9)), "9 images in one request, expected at most 8"),
    "two inputs": ({"inputs": inference(ONE)["inputs"] * 2}, "exactly one tensor"),
    "no inputs": ({"inputs": []}, "exactly one tensor"),
    "inputs absent": ({}, "exactly one tensor"),
    "inputs an object": ({"inputs": {}}, "exactly one tensor"),
    "input a number": ({"inputs": [7]}, "JSON object"),
    "a list": ([1, 2], "JSON object"),
    "a text": ('"x"', "JSON object"),
    "null alone": ("null", "JSON object"),
    "id a number": ({**inference(ONE), "id": 7}, "id is expected"),
    "id endless": ({**inference(ONE), "id": "x" * 1001}, "id is expected"),
    "outputs unknown": ({**inference(ONE), "outputs": [{"name": "secret"}]}, "no output 'secret'"),
    "outputs nameless": ({**inference(ONE), "outputs": [{}]}, "no output"),
    "outputs twice": ({**inference(ONE), "outputs": [{"name": "label"}] * 2}, "twice"),
    "outputs empty": ({**inference(ONE), "outputs": []}, 'expected "outputs"'),
    "outputs a text": ({**inference(ONE), "outputs": "label"}, 'expected "outputs"'),
    "outputs a list in one": ({**inference(ONE), "outputs": [{"name": []}]}, "no output"),
    "parameters a list": ({**inference(ONE), "parameters": []}, "JSON object"),
    "binary without bytes": (inference(ONE, parameters={"binary_data_size": 5}), "both data and binary"),
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
    "data nested deeply": (inference(ONE, data="DEEP"), "ragged"),
    "digits": ('{"id": ' + "9" * 10_000 + "}", "not JSON"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_request_is_refused(name: str) -> None:
    content, said = WRONG[name]
    text = content if isinstance(content, str | bytes) else json.dumps(content).replace('"DEEP"', "[" * 200 + "]" * 200)
    assert said in refused(text if isinstance(text, bytes) else text.encode())


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
def test_wrong_bytes_after_the_json_are_refused(
    parameters: dict[str, Any], blob: bytes, length: str | None, said: str
) -> None:
    content = inference(ONE, parameters=parameters)
    del content["inputs"][0]["data"]
    text = json.dumps(content).encode()
    assert said in refused(text + blob, length or str(len(text)))


@pytest.mark.parametrize("blob", [b"\1", b"\1\0\0\0", b"\xff\xff\xff\xff" + bytes(9), b"\0\0\0\0\1\0"])
def test_files_that_end_too_soon_are_refused(blob: bytes) -> None:
    tensor = {"name": IMAGE, "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": len(blob)}}
    text = json.dumps({"inputs": [tensor]}).encode()
    assert "middle of an element" in refused(text + blob, str(len(text)))
