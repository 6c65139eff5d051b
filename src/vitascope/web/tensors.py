"""Tensors of the Open Inference Protocol: from a request's JSON, or bytes behind it, to arrays and back.

Shapes: B images, C channels, H, W the model's size, K classes, D' features.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from vitascope.web.errors import Refusal

PIXELS = "pixel_values"
"""Input of preprocessed images: FP32 (B, C, H, W), normalised as training did."""
IMAGE = "image"
"""Input of image files: BYTES (B), base64 where it stands in JSON."""

VERSION = "1"
"""The only version of the model."""

_MAX_ID = 1000
_BYTES_EACH = 40  # of Python objects for one of JSON, at most; measured

Array = npt.NDArray[np.float32] | npt.NDArray[np.object_]


@dataclass(frozen=True, kw_only=True)
class Signature:
    """What a model takes and gives."""

    channels: int
    """C."""
    size: tuple[int, int]
    """(H, W)."""
    outputs: Mapping[str, tuple[str, tuple[int, ...]]]
    """Name → datatype, and shape of one image's row."""
    max_images: int
    """Largest B."""

    @property
    def input_shape(self) -> tuple[int, ...]:
        """(C, H, W)."""
        return self.channels, *self.size


@dataclass(frozen=True, kw_only=True, eq=False)
class InferRequest:
    """A request that has been understood."""

    id: str | None
    """The client's own mark, given back."""
    pixels: npt.NDArray[np.float32] | None
    """(B, C, H, W), or None when there are files."""
    files: list[bytes]
    """B files, or none when there are pixels."""
    outputs: tuple[str, ...]
    """Names of what is wanted."""
    binary: frozenset[str]
    """Those of them that are wanted as bytes behind the JSON."""


def parsing_bytes(body: bytes, json_length: str | None) -> int:
    """Most memory that the JSON of a body becomes: empty objects are the worst."""
    return _BYTES_EACH * len(_split(body, json_length)[0])


def parse_request(body: bytes, json_length: str | None, signature: Signature) -> InferRequest:
    """Reads a body; `json_length` is its Inference-Header-Content-Length. Raises Refusal (400) in one line."""
    text, blobs = _split(body, json_length)
    content = parse_object(text)
    if content.get("model_version", "") not in ("", VERSION):
        raise _wrong(f"model_version is expected to be {VERSION!r}, or left out")
    id = content.get("id")
    if id is not None and not (isinstance(id, str) and len(id) <= _MAX_ID):
        raise _wrong(f"id is expected to be a text of at most {_MAX_ID} characters")
    inputs = content.get("inputs")
    if not isinstance(inputs, list) or len(inputs) != 1:
        raise _wrong(f'expected "inputs": a list of exactly one tensor, {PIXELS!r} or {IMAGE!r}')
    tensor = _object(inputs[0], "the input")
    name = tensor.get("name")
    count = _binary_size(tensor)
    if count is None and blobs:
        raise _wrong("bytes follow the JSON, but no binary_data_size says what they are")
    if count is not None and count != len(blobs):
        raise _wrong(f"binary_data_size is {count}, but {len(blobs)} bytes follow the JSON")
    blob = blobs if count is not None else None
    outputs, binary = _outputs(content, signature)
    pixels, files = None, list[bytes]()
    if name == PIXELS:
        pixels = _pixels(tensor, blob, signature)
    elif name == IMAGE:
        files = _files(tensor, blob, signature)
    else:
        raise _wrong(f"no input {_quoted(name)}; expected {PIXELS!r} or {IMAGE!r}")
    return InferRequest(id=id, pixels=pixels, files=files, outputs=outputs, binary=binary)


def write_response(
    model: str, request: InferRequest, results: Mapping[str, Array], signature: Signature
) -> tuple[dict[str, Any], list[bytes]]:
    """The JSON of the answer, and the bytes that follow it for outputs wanted so."""
    outputs: list[dict[str, Any]] = []
    blobs: list[bytes] = []
    for name in request.outputs:
        values = results[name]
        tensor: dict[str, Any] = {"name": name, "datatype": signature.outputs[name][0], "shape": list(values.shape)}
        if name in request.binary:
            blobs.append(_as_bytes(values))
            tensor["parameters"] = {"binary_data_size": len(blobs[-1])}
        else:
            tensor["data"] = values.ravel().tolist()
        outputs.append(tensor)
    answer = {"model_name": model, "model_version": VERSION, "outputs": outputs}
    return (answer if request.id is None else {"id": request.id, **answer}), blobs


def _split(body: bytes, json_length: str | None) -> tuple[bytes, bytes]:
    if json_length is None:
        return body, b""
    if not (json_length.isascii() and json_length.isdigit() and len(json_length) <= 12):
        raise _wrong("Inference-Header-Content-Length is not a number")
    if int(json_length) > len(body):
        raise _wrong(f"Inference-Header-Content-Length is {json_length}, but the body has {len(body)} bytes")
    return body[: int(json_length)], body[int(json_length) :]


def parse_object(text: bytes) -> dict[str, Any]:
    """A JSON object; raises Refusal (400) for anything else."""
    return _object(_parse(text), "the body")


def _parse(text: bytes) -> Any:
    def refuse(constant: str) -> float:
        raise _wrong(f"{constant} is not JSON; expected finite numbers")

    try:
        return json.loads(text, parse_constant=refuse)
    except RecursionError:
        raise _wrong("the JSON is nested too deeply") from None
    except ValueError as error:  # malformed, not UTF-8, numbers of thousands of digits
        where = f" at line {error.lineno}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
        raise _wrong(f"the body is not JSON{where}") from None


def _outputs(content: dict[str, Any], signature: Signature) -> tuple[tuple[str, ...], frozenset[str]]:
    all_binary = _parameters(content).get("binary_data_output") is True
    wanted = content.get("outputs")
    if wanted is None:
        names = tuple(signature.outputs)
        return names, frozenset(names if all_binary else ())
    if not isinstance(wanted, list) or not 1 <= len(wanted) <= len(signature.outputs):
        raise _wrong(f'expected "outputs": a list of one or more of {", ".join(signature.outputs)}')
    found: list[str] = []
    binary: set[str] = set()
    for entry in wanted:
        tensor = _object(entry, "an output")
        name = tensor.get("name")
        if not isinstance(name, str) or name not in signature.outputs:
            raise _wrong(f"no output {_quoted(name)}; expected {', '.join(signature.outputs)}")
        if name in found:
            raise _wrong(f"output {name!r} is asked for twice")
        found.append(name)
        if _parameters(tensor).get("binary_data", all_binary) is True:
            binary.add(name)
    return tuple(found), frozenset(binary)


def _pixels(tensor: dict[str, Any], blob: bytes | None, signature: Signature) -> npt.NDArray[np.float32]:
    _check_type(tensor, PIXELS, "FP32")
    shape = _shape(tensor, signature)
    if shape[1:] != signature.input_shape:
        raise _wrong(f"{PIXELS} has shape {_listed(shape)}, expected {_listed((-1, *signature.input_shape))}")
    if blob is not None:
        if len(blob) != 4 * math.prod(shape):
            raise _wrong(f"{PIXELS} has {len(blob)} bytes, expected {4 * math.prod(shape)} for its shape")
        values = np.frombuffer(blob, "<f4").astype(np.float32)
    else:
        values = _numbers(tensor.get("data"), shape)
    if not np.isfinite(values).all():
        raise _wrong(f"{PIXELS} holds NaN, or values beyond float32; expected finite numbers")
    return values.reshape(shape)


def _numbers(data: Any, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Flat, or nested as the shape says."""
    if not isinstance(data, list):
        raise _wrong('expected "data": a list of numbers')
    try:
        values = np.array(data)
    except (ValueError, OverflowError, TypeError):  # ragged, or numbers of any size
        raise _wrong(f"{PIXELS} is ragged or holds what is not a number; expected shape {_listed(shape)}") from None
    if values.dtype.kind not in "fiu" or values.dtype.hasobject:
        raise _wrong(f"{PIXELS} holds what is not a number")
    if values.shape not in (shape, (math.prod(shape),)):
        raise _wrong(f"{PIXELS} has data of shape {_listed(values.shape)}, expected {_listed(shape)} or flat")
    with np.errstate(over="ignore"):  # becomes infinite, which is refused
        return values.astype(np.float32)


def _files(tensor: dict[str, Any], blob: bytes | None, signature: Signature) -> list[bytes]:
    _check_type(tensor, IMAGE, "BYTES")
    shape = _shape(tensor, signature)
    if len(shape) != 1:
        raise _wrong(f"{IMAGE} has shape {_listed(shape)}, expected [-1]")
    if blob is not None:
        files = _elements(blob)
    else:
        data = tensor.get("data")
        if not isinstance(data, list) or not all(isinstance(text, str) for text in data):
            raise _wrong(f'{IMAGE}: expected "data": a list of base64 texts, one for each file')
        try:
            files = [base64.b64decode(text, validate=True) for text in data]
        except (binascii.Error, ValueError):
            raise _wrong(f"{IMAGE} holds a text that is not base64") from None
    if len(files) != shape[0]:
        raise _wrong(f"{IMAGE} holds {len(files)} files, expected {shape[0]} for its shape")
    return files


def _elements(blob: bytes) -> list[bytes]:
    """Texts one after the other, each behind its length in four bytes, the lowest first."""
    found = []
    at = 0
    while at < len(blob):
        end = at + 4 + int.from_bytes(blob[at : at + 4], "little")
        if at + 4 > len(blob) or end > len(blob):
            raise _wrong(f"{IMAGE} ends in the middle of an element")
        found.append(blob[at + 4 : end])
        at = end
    return found


def _as_bytes(values: Array) -> bytes:
    if values.dtype != object:
        return values.astype("<f4").tobytes()
    texts = [str(text).encode() for text in values.ravel()]
    return b"".join(len(text).to_bytes(4, "little") + text for text in texts)


def _check_type(tensor: dict[str, Any], name: str, expected: str) -> None:
    if tensor.get("datatype") != expected:
        raise _wrong(f"{name} has datatype {_quoted(tensor.get('datatype'))}, expected {expected!r}")


def _shape(tensor: dict[str, Any], signature: Signature) -> tuple[int, ...]:
    shape = tensor.get("shape")
    whole = isinstance(shape, list) and all(isinstance(n, int) and not isinstance(n, bool) for n in shape)
    if not whole or not 1 <= len(shape) <= 8 or not all(1 <= n <= 2**31 for n in shape):  # type: ignore[arg-type, union-attr]
        raise _wrong('expected "shape": a list of whole numbers of at least 1')
    if shape[0] > signature.max_images:  # type: ignore[index]
        raise _wrong(f"{shape[0]} images in one request, expected at most {signature.max_images}")  # type: ignore[index]
    return tuple(shape)  # type: ignore[arg-type]


def _binary_size(tensor: dict[str, Any]) -> int | None:
    size = _parameters(tensor).get("binary_data_size")
    if size is None:
        return None
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise _wrong("binary_data_size is expected to be a whole number")
    if "data" in tensor:
        raise _wrong("the input has both data and binary_data_size; send one of them")
    return size


def _parameters(holder: dict[str, Any]) -> dict[str, Any]:
    return _object(holder.get("parameters", {}), "parameters")


def _object(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _wrong(f"{name} is expected to be a JSON object")
    return value


def _listed(shape: Sequence[int]) -> str:
    return f"[{', '.join(map(str, shape))}]"


def _quoted(value: Any) -> str:
    return ascii(value) if isinstance(value, str) and len(value) <= 60 else "of that name"


def _wrong(message: str) -> Refusal:
    return Refusal(400, message)
