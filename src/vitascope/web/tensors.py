"""Tensors of the Open Inference Protocol: from a request's JSON, or bytes behind it, to arrays and back.

Shapes: B images, C channels, H, W the model's size, K classes, D' features.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from vitascope import json_text
from vitascope.web.errors import Refusal

PIXELS = "pixel_values"
"""Input of preprocessed images: FP32 (B, C, H, W), normalised as training did."""
IMAGE = "image"
"""Input of image files: BYTES (B), base64 where it stands in JSON."""
VERSION = "1"
"""The only version of the model."""

_MAX_ID = 1000
_BYTES_EACH = 40  # of Python objects for one of JSON, at most; measured

Array = npt.NDArray[np.float32] | npt.NDArray[np.object_] | npt.NDArray[np.bool_]
Tensors = Mapping[str, tuple[str, tuple[int, ...]]]
"""Name → datatype, and the shape of one image's row."""


@dataclass(frozen=True, kw_only=True)
class Signature:
    """What a model takes and gives."""

    inputs: Tensors
    """One of these in a request."""
    outputs: Tensors
    """All of these, or those that are asked for."""
    max_images: int
    """Largest B."""


@dataclass(frozen=True, kw_only=True, eq=False)
class InferRequest:
    """A request that has been understood."""

    id: str | None
    """The client's own mark, given back."""
    images: npt.NDArray[np.float32] | list[bytes]
    """Pixels (B, C, H, W), or B files."""
    outputs: Mapping[str, bool]
    """Names of what is wanted, and whether as bytes behind the JSON."""
    threshold: float | None = None
    """In place of the prediction sets: classes of at least this probability."""


def split(body: bytes, json_length: str | None) -> tuple[bytes, bytes]:
    """The JSON of a body, whose length a header may state, and the bytes behind it; raises Refusal (400)."""
    if json_length is None:
        return body, b""
    number = json_length.isascii() and json_length.isdigit() and len(json_length) <= 12
    _expect(number, "Inference-Header-Content-Length is not a number")
    length = int(json_length)
    _expect(length <= len(body), f"Inference-Header-Content-Length is {length}, but the body has {len(body)} bytes")
    return body[:length], body[length:]


def parsing_bytes(text: bytes) -> int:
    """Most memory that JSON becomes: empty objects are the worst."""
    return _BYTES_EACH * len(text)


def parse_object(text: bytes) -> dict[str, Any]:
    """A JSON object; raises Refusal (400) for anything else, and for NaN and infinities."""

    def refuse(constant: str) -> float:
        raise Refusal(400, f"{constant} is not JSON; expected finite numbers")

    try:
        return _object(json_text.parse(text, parse_constant=refuse), "the body")
    except ValueError as error:
        raise Refusal(400, f"the body is not JSON: {error}") from None


def parse_request(text: bytes, blob: bytes, signature: Signature) -> InferRequest:
    """Reads what `split` gave. Raises Refusal (400) in one line."""
    content = parse_object(text)
    id, inputs = content.get("id"), content.get("inputs")
    version = content.get("model_version", "")
    _expect(version in ("", VERSION), f"model_version is expected to be {VERSION!r}, or left out")
    _expect(id is None or _is_text(id, _MAX_ID), f"id is expected to be a text of at most {_MAX_ID} characters")
    one = isinstance(inputs, list) and len(inputs) == 1
    _expect(one, f'expected "inputs": a list of exactly one tensor, {_listed(signature.inputs)}')
    images = _images(_object(content["inputs"][0], "the input"), blob, signature)
    threshold = _parameters(content).get("threshold")
    known = dict(signature.outputs)
    if threshold is not None:
        _expect("probabilities" in known, "threshold is for models that give probabilities")
        sound = isinstance(threshold, int | float) and not isinstance(threshold, bool) and 0 <= threshold <= 1
        _expect(sound, "threshold is expected to be a number from 0 to 1")
        known |= {"set": ("BOOL", known["probabilities"][1]), "known": ("BOOL", ())}
    return InferRequest(id=id, images=images, outputs=_outputs(content, known), threshold=threshold)


def datatype(values: Array) -> str:
    """As the protocol calls it."""
    return {"O": "BYTES", "b": "BOOL"}.get(values.dtype.kind, "FP32")


def write_response(
    model: str, request: InferRequest, results: Mapping[str, Array]
) -> tuple[dict[str, Any], list[bytes]]:
    """The JSON of the answer, and the bytes that follow it for outputs wanted so."""
    outputs: list[dict[str, Any]] = []
    blobs: list[bytes] = []
    for name, binary in request.outputs.items():
        values = results[name]
        tensor: dict[str, Any] = {"name": name, "datatype": datatype(values), "shape": list(values.shape)}
        if binary:
            blobs.append(_as_bytes(values))
            tensor["parameters"] = {"binary_data_size": len(blobs[-1])}
        else:
            tensor["data"] = values.ravel().tolist()
        outputs.append(tensor)
    answer = {"model_name": model, "model_version": VERSION, "outputs": outputs}
    return (answer if request.id is None else {"id": request.id, **answer}), blobs


def _outputs(content: dict[str, Any], known: Tensors) -> dict[str, bool]:
    all_binary = _parameters(content).get("binary_data_output") is True
    wanted = content.get("outputs")
    if wanted is None:
        return dict.fromkeys(known, all_binary)
    _expect(isinstance(wanted, list) and wanted, f'expected "outputs": a list of one or more of {_listed(known)}')
    found: dict[str, bool] = {}
    for entry in wanted:
        tensor = _object(entry, "an output")
        name = _name(tensor, known, "output")
        _expect(name not in found, f"output {name!r} is asked for twice")
        found[name] = _parameters(tensor).get("binary_data", all_binary) is True
    return found


def _images(tensor: dict[str, Any], blob: bytes, signature: Signature) -> npt.NDArray[np.float32] | list[bytes]:
    name = _name(tensor, signature.inputs, "input")
    kind, row = signature.inputs[name]
    shape: Any = tensor.get("shape")
    given, most = tensor.get("datatype"), signature.max_images
    _expect(given == kind, f"{name} has datatype {_quoted(given)}, expected {kind!r}")
    whole = isinstance(shape, list) and 1 <= len(shape) <= 8 and all(_is_whole(n) and 1 <= n <= 2**31 for n in shape)
    _expect(whole, 'expected "shape": a list of whole numbers of at least 1')
    _expect(shape[0] <= most, f"{shape[0]} images in one request, expected at most {most}")
    _expect(shape[1:] == [*row], f"{name} has shape {shape}, expected {[-1, *row]}")
    data = _data(tensor, blob)
    if name == IMAGE:
        files = _files(data)
        _expect(len(files) == shape[0], f"{IMAGE} holds {len(files)} files, expected {shape[0]} for its shape")
        return files
    values = _numbers(data, shape)
    _expect(np.isfinite(values).all(), f"{PIXELS} holds NaN, or values beyond float32; expected finite numbers")
    return values.reshape(shape)


def _data(tensor: dict[str, Any], blob: bytes) -> Any:
    """What follows the JSON, or what stands in it."""
    size, data = _parameters(tensor).get("binary_data_size"), tensor.get("data")
    if size is None:
        _expect(not blob, "bytes follow the JSON, but no binary_data_size says what they are")
        _expect(isinstance(data, list), 'expected "data": a list')
        return data
    _expect(_is_whole(size) and size >= 0, "binary_data_size is expected to be a whole number")
    _expect(data is None, "the input has both data and binary_data_size; send one of them")
    _expect(size == len(blob), f"binary_data_size is {size}, but {len(blob)} bytes follow the JSON")
    return blob


def _numbers(data: bytes | list[Any], shape: list[int]) -> npt.NDArray[np.float32]:
    """Bytes; or a list, flat or nested as the shape says."""
    if isinstance(data, bytes):
        expected = 4 * math.prod(shape)
        _expect(len(data) == expected, f"{PIXELS} has {len(data)} bytes, expected {expected} for its shape")
        return np.frombuffer(data, "<f4").astype(np.float32)
    try:
        values = np.array(data)
    except (ValueError, OverflowError, TypeError):  # ragged, or numbers of any size
        raise Refusal(400, f"{PIXELS} is ragged or holds what is not a number; expected shape {shape}") from None
    _expect(values.dtype.kind in "fiu", f"{PIXELS} holds what is not a number")
    fits = [*values.shape] in (shape, [math.prod(shape)])
    _expect(fits, f"{PIXELS} has data of shape {[*values.shape]}, expected {shape} or flat")
    with np.errstate(over="ignore"):  # becomes infinite, which is refused
        return values.astype(np.float32)


def _files(data: bytes | list[Any]) -> list[bytes]:
    """Bytes one after the other, each behind its length in four bytes, the lowest first; or a list of base64."""
    if not isinstance(data, bytes):
        try:
            return [base64.b64decode(text, validate=True) for text in data]
        except (TypeError, ValueError):
            raise Refusal(400, f"{IMAGE} holds what is not a text of base64") from None
    found, at = [], 0
    while at < len(data):
        end = at + 4 + int.from_bytes(data[at : at + 4], "little")
        _expect(at + 4 <= len(data) and end <= len(data), f"{IMAGE} ends in the middle of an element")
        found.append(data[at + 4 : end])
        at = end
    return found


def _as_bytes(values: Array) -> bytes:
    if values.dtype != object:
        return values.astype("<f4" if values.dtype.kind == "f" else "?").tobytes()
    texts = [str(text).encode() for text in values.ravel()]
    return b"".join(len(text).to_bytes(4, "little") + text for text in texts)


def _parameters(holder: dict[str, Any]) -> dict[str, Any]:
    return _object(holder.get("parameters", {}), "parameters")


def _object(value: Any, name: str) -> dict[str, Any]:
    _expect(isinstance(value, dict), f"{name} is expected to be a JSON object")
    return value


def _name(tensor: dict[str, Any], known: Tensors, kind: str) -> str:
    name: Any = tensor.get("name")
    _expect(isinstance(name, str) and name in known, f"no {kind} {_quoted(name)}; expected {_listed(known)}")
    return name


def _listed(known: Tensors) -> str:
    return " or ".join(map(repr, known))


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_text(value: Any, most: int = 60) -> bool:
    return isinstance(value, str) and len(value) <= most


def _quoted(value: Any) -> str:
    return ascii(value) if _is_text(value) else "of that name"


def _expect(right: Any, message: str) -> None:
    if not right:
        raise Refusal(400, message)
