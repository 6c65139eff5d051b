"""The Open Inference Protocol, version 2, over HTTP: what clients of KServe, Triton and Seldon speak.

One model, of which there is one version, "1". It takes one of two inputs: `pixel_values`, FP32 (B, C, H, W),
preprocessed by the client; or `image`, BYTES (B), image files that are preprocessed here (base64 in JSON), which is all
that a graph exported for photographs takes. It gives `logits` and `probabilities`, FP32 (B, K), and `label`, BYTES (B),
the most probable class; with prediction sets also `set`, BOOL (B, K), the classes that an image may have, and `known`,
BOOL (B), whether there is one; a model without a head gives `features`, FP32 (B, D'). The parameter `threshold` of a
request makes sets of the classes that are at least so probable, with any model.
The extension for binary tensor data is understood in both directions, and of the model repository's the index: what is
served was chosen when the server started. Answers are compressed for clients that ask for gzip.
"""

from __future__ import annotations

import gzip
from typing import Any

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from vitascope.version import __version__
from vitascope.web import tensors
from vitascope.web.described import INFER, METADATA
from vitascope.web.errors import Refusal, json_response
from vitascope.web.service import Service
from vitascope.web.tensors import IMAGE, PIXELS, VERSION, Signature, Tensors

_JSON_LENGTH = "inference-header-content-length"
_WORTH_COMPRESSING = 1024  # bytes: about what fits into one packet anyway


def routes(service: Service) -> APIRouter:
    """All addresses below /v2."""
    router = APIRouter(prefix="/v2", tags=["Open Inference Protocol"])

    @router.get("", summary="the server's name, version and extensions")
    async def server() -> Response:
        return json_response({"name": "vitascope", "version": __version__, "extensions": ["binary_tensor_data"]})

    @router.get("/health/live", summary="200 as soon as the server answers")
    async def live() -> Response:
        return json_response({"live": True})

    @router.get("/health/ready", summary="200 when the model is loaded, 503 before")
    async def ready() -> Response:
        return _readiness({"ready": service.ready})

    @router.post("/repository/index", summary="the one model and its state")
    async def index(request: Request) -> Response:
        async with service.intake.body(request) as body:
            only_ready = tensors.parse_object(body).get("ready") is True if body else False
        state = "READY" if service.ready else "UNAVAILABLE"
        known = {"name": service.settings.name, "version": VERSION, "state": state, "reason": ""}
        return json_response([known] if service.ready or not only_ready else [])

    @router.post("/repository/models/{model}/{action}", include_in_schema=False)
    async def change(model: str, action: str) -> Response:
        if action not in ("load", "unload"):
            raise Refusal(404, "no such address")
        raise Refusal(400, f"{action} is not possible: this server has one model, chosen when it was started")

    model = _model_routes(service)
    router.include_router(model, prefix="/models/{model}")
    router.include_router(model, prefix="/models/{model}/versions/{version}", include_in_schema=False)
    return router


def metadata(service: Service) -> dict[str, Any]:
    """What is said of the model; raises Refusal (503) until it is loaded."""
    signature = _signature(service)
    alternative = {"alternative_input": IMAGE, "alternative_datatype": "BYTES"} if PIXELS in signature.inputs else {}
    return {
        "name": service.settings.name,
        "versions": [VERSION],
        "platform": service.engine.platform,
        # Clients send every input that is listed, so the alternative is told as a parameter.
        "inputs": _described(dict([next(iter(signature.inputs.items()))])),
        "outputs": _described(signature.outputs),
        "parameters": {**alternative, "max_images": signature.max_images},
    }


def _model_routes(service: Service) -> APIRouter:
    """Of the one model, with or without its version in the address."""
    name = service.settings.name

    async def is_served(request: Request, model: str) -> None:
        if model != name:
            raise Refusal(404, f"no such model; this server has {name!r}")
        if request.path_params.get("version", VERSION) != VERSION:
            raise Refusal(404, f"no such version; {name!r} has version {VERSION} alone")

    router = APIRouter(dependencies=[Depends(is_served)])

    @router.get("", summary="the model's inputs and outputs", responses=METADATA)
    async def told() -> Response:
        return json_response(metadata(service))

    @router.get("/ready", summary="200 when the model is loaded, 503 before")
    async def ready() -> Response:
        return _readiness({"name": name, "ready": service.ready})

    @router.post("/infer", summary="outputs for a batch of tensors or images", **INFER)
    async def infer(request: Request) -> Response:
        signature = _signature(service)
        async with service.intake.body(request) as body:
            text, blob = tensors.split(body, request.headers.get(_JSON_LENGTH))
            size = tensors.parsing_bytes(text)
            wanted = await service.readers(size, tensors.parse_request, text, blob, signature)
            outputs = await service.outputs(wanted.images)
        answer, blobs = tensors.write_response(name, wanted, service.engine.results(outputs, wanted.threshold))
        response = json_response(answer)
        if blobs:
            lengths = {_JSON_LENGTH: str(len(response.body)), "cache-control": "no-store"}
            response = Response(b"".join([response.body, *blobs]), 200, lengths, "application/octet-stream")
        return await _compressed(response, request, service)

    return router


async def _compressed(response: Response, request: Request, service: Service) -> Response:
    asked = [coding.strip() for coding in request.headers.get("accept-encoding", "").lower().split(",")]
    if "gzip" not in asked or len(response.body) < _WORTH_COMPRESSING:
        return response
    headers = {name: value for name, value in response.headers.items() if name != "content-length"}
    body = await service.readers(0, gzip.compress, bytes(response.body), 1)
    return Response(body, 200, {**headers, "content-encoding": "gzip", "vary": "accept-encoding"})


def _readiness(content: dict[str, Any]) -> Response:
    return json_response(content) if content["ready"] else json_response(content, 503, {"retry-after": "1"})


def _signature(service: Service) -> Signature:
    engine = service.engine
    outputs = {name: (tensors.datatype(values), values.shape[1:]) for name, values in engine.first.items()}
    pixels = {PIXELS: ("FP32", (engine.channels, *engine.size))} if engine.takes_pixels else {}
    inputs: Tensors = {**pixels, IMAGE: ("BYTES", ())}
    return Signature(inputs=inputs, outputs=outputs, max_images=service.settings.max_images)


def _described(known: Tensors) -> list[dict[str, Any]]:
    return [{"name": name, "datatype": kind, "shape": [-1, *row]} for name, (kind, row) in known.items()]
