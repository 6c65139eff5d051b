"""What the schema of OpenAPI says of bodies and answers beyond what the routes say themselves, and of errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

if TYPE_CHECKING:
    from vitascope.web.engine import Engine

_ABOUT = (
    "One model, chosen when the server started. /predict is for images and answers with labels; below /v2 is the Open "
    "Inference Protocol, which clients of KServe, Triton and Seldon speak. Every answer carries X-Request-Id, the "
    "client's own where it sent one."
)
_ERROR = {"type": "object", "properties": {"error": {"type": "string"}}, "required": ["error"]}
_STATUSES = (
    "Why not, in one line. 400 malformed, 404 not there, 408 late, 413 too large or too many, 415 another type, "
    "422 no image that can be read, 503 full or still loading: try again after Retry-After seconds."
)

_NUMBER = {"type": "number", "minimum": 0, "maximum": 1}
_LABEL = {
    "type": "object",
    "properties": {"label": {"type": "string"}, "index": {"type": "integer"}, "probability": _NUMBER},
}
_PREDICTION = {
    "type": "object",
    "properties": {
        "name": {"type": ["string", "null"], "description": "of the file, where the form names it"},
        "labels": {"type": "array", "items": _LABEL, "description": "the likeliest, best first"},
        "set": {
            "type": "array",
            "items": {"type": "string"},
            "description": "which labels the image may have, by threshold or by the prediction sets of the model",
        },
        "known": {"type": "boolean", "description": "whether there is one; false says: none of these"},
    },
}
_MOST, _FIRST = 6, 3  # entries of a list in an example: all, or the first where there are more


def _answer(what: str, schema: Any = None) -> dict[int | str, dict[str, Any]]:
    return {200: {"description": what, "content": {"application/json": {"schema": schema or {}}}}}


PREDICT = _answer(
    "One prediction for each image, in the order in which they were sent.",
    {
        "type": "object",
        "properties": {"model": {"type": "string"}, "predictions": {"type": "array", "items": _PREDICTION}},
    },
)
LABELS = _answer("Names in the order of the probabilities; how these come of the logits; the prediction sets, or null.")
METADATA = _answer("As the protocol has it; -1 is any number of images.")
_TENSOR = {"name": "image", "datatype": "BYTES", "shape": [1], "data": ["BASE64 OF A FILE"]}
INFER: dict[str, Any] = {
    "responses": _answer("The outputs that were asked for, or all."),
    "openapi_extra": {
        "requestBody": {
            "required": True,
            "description": "One tensor: image, files in base64, or pixel_values, preprocessed by the client. With "
            "Inference-Header-Content-Length its bytes follow the JSON. Of parameters, threshold from 0 to 1 makes "
            "sets of the classes that are at least so probable.",
            "content": {
                "application/json": {
                    "schema": {"type": "object", "required": ["inputs"]},
                    "example": {"inputs": [_TENSOR], "parameters": {"threshold": 0.5}},
                },
                "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
            },
        }
    },
}


def examples(name: str, engine: Engine, metadata: dict[str, Any]) -> dict[tuple[str, str], Any]:
    """What the served model answers, by address and method: of an empty image, long lists cut short."""
    told: dict[tuple[str, str], Any] = {
        ("/labels", "get"): {"model": name, **engine.described()},
        ("/v2/models/{model}", "get"): metadata,
    }
    said = next(output for output in metadata["outputs"] if output["name"] in ("label", "features"))
    of_it = engine.first[said["name"]]
    output = {**said, "shape": list(of_it.shape), "data": of_it.ravel().tolist()}
    told["/v2/models/{model}/infer", "post"] = {"model_name": name, "model_version": "1", "outputs": [output]}
    if engine.labels:
        (answer,) = engine.answers(np.asarray(engine.first["logits"], np.float32), _FIRST)
        told["/predict", "post"] = {"model": name, "predictions": [{"name": "a.jpg", **answer.as_json()}]}
    return {where: _shortened(example) for where, example in told.items()}


def _shortened(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _shortened(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_shortened(each) for each in value] if len(value) <= _MOST else [*value[:_FIRST], "…"]
    return value


def described(app: FastAPI, examples: Mapping[tuple[str, str], Any]) -> dict[str, Any]:
    """The schema, once the routes are there: errors are {"error": one line} everywhere."""
    told = get_openapi(title=app.title, version=app.version, description=_ABOUT, routes=app.routes)
    refusal = {"description": _STATUSES, "content": {"application/json": {"schema": _ERROR}}}
    for (path, method), example in examples.items():
        told["paths"][path][method]["responses"]["200"]["content"]["application/json"]["example"] = example
    for operations in told["paths"].values():
        for operation in operations.values():
            operation["responses"].pop("422", None)
            operation["responses"]["default"] = {"$ref": "#/components/responses/Refusal"}
    schemas = told.get("components", {}).get("schemas", {})
    kept = {name: schema for name, schema in schemas.items() if name not in ("HTTPValidationError", "ValidationError")}
    told["components"] = {"responses": {"Refusal": refusal}, **({"schemas": kept} if kept else {})}
    return told
