"""The Open Inference Protocol, version 2, over HTTP: what clients of KServe, Triton and Seldon speak.

One model, of which there is one version, "1". It takes one of two inputs: `pixel_values`, FP32 (B, C, H, W),
preprocessed by the client; or `image`, BYTES (B), image files that are preprocessed here (base64 in JSON). It gives
`logits` and `probabilities`, FP32 (B, K), and `label`, BYTES (B), the most probable class; a model without a head gives
`features`, FP32 (B, D').
The extension for binary tensor data is understood in both directions, and of the model repository's the index: what is
served was chosen when the server started. Answers are compressed for clients that ask for gzip.
"""

from __future__ import annotations

import gzip
from typing import Any

import numpy as np
import numpy.typing as npt
from fastapi import APIRouter, Request
from starlette.responses import Response

from vitascope.version import __version__
from vitascope.web.errors import Refusal, json_response
from vitascope.web.service import Service
from vitascope.web.tensors import (
    IMAGE,
    PIXELS,
    VERSION,
    Array,
    Signature,
    parse_object,
    parse_request,
    parsing_bytes,
    write_response,
)

_JSON_LENGTH = "inference-header-content-length"
_WORTH_COMPRESSING = 1024  # bytes: about what fits into one packet anyway


def routes(service: Service) -> APIRouter:
    """All addresses below /v2."""
    router = APIRouter(prefix="/v2", tags=["Open Inference Protocol"])

    @router.get("", summary="the server's name, version and extensions")
    async def server() -> Response:
        return json_response(
            {"name": "vitascope", "version": __version__, "extensions": ["binary_tensor_data"]},
        )

    @router.get("/health/live", summary="200 as soon as the server answers")
    async def live() -> Response:
        return json_response({"live": True})

    @router.get("/health/ready", summary="200 when the model is loaded, 503 before")
    async def ready() -> Response:
        return _readiness({"ready": service.ready})

    @router.get("/models/{model}/versions/{version}", include_in_schema=False)
    @router.get("/models/{model}", summary="the model's inputs and outputs")
    async def metadata(model: str, request: Request) -> Response:
        _check_name(request, service)
        return json_response(_metadata(service))

    @router.get("/models/{model}/versions/{version}/ready", include_in_schema=False)
    @router.get("/models/{model}/ready", summary="200 when the model is loaded, 503 before")
    async def model_ready(model: str, request: Request) -> Response:
        _check_name(request, service)
        return _readiness({"name": service.settings.name, "ready": service.ready})

    @router.post("/models/{model}/versions/{version}/infer", include_in_schema=False)
    @router.post("/models/{model}/infer", summary="outputs for a batch of tensors or images")
    async def infer(model: str, request: Request) -> Response:
        _check_name(request, service)
        signature = _signature(service)
        async with service.intake.body(request) as body:
            length = request.headers.get(_JSON_LENGTH)
            wanted = await service.read_within(parsing_bytes(body, length), parse_request, body, length, signature)
            if wanted.pixels is not None:
                outputs = await service.outputs(wanted.pixels)
            else:
                outputs = await service.outputs_of_files(wanted.files)
        answer, blobs = write_response(service.settings.name, wanted, _results(outputs, service), signature)
        response = json_response(answer)
        if blobs:
            head = bytes(response.body)
            lengths = {_JSON_LENGTH: str(len(head)), "cache-control": "no-store"}
            response = Response(b"".join([head, *blobs]), 200, lengths, media_type="application/octet-stream")
        return await _compressed(response, request, service)

    @router.post("/repository/index", summary="the one model and its state")
    async def index(request: Request) -> Response:
        async with service.intake.body(request) as body:
            only_ready = parse_object(body).get("ready") is True if body else False
        state = {"name": service.settings.name, "version": VERSION, "reason": ""}
        known = [{**state, "state": "READY" if service.ready else "UNAVAILABLE"}]
        return json_response([one for one in known if service.ready or not only_ready])

    @router.post("/repository/models/{model}/{action}", include_in_schema=False)
    async def change(model: str, action: str) -> Response:
        if action not in ("load", "unload"):
            raise Refusal(404, "no such address")
        raise Refusal(400, f"{action} is not possible: this server has one model, chosen when it was started")

    return router


def _check_name(request: Request, service: Service) -> None:
    """The model of the address, and its version if it names one."""
    if request.path_params["model"] != service.settings.name:
        raise Refusal(404, f"no such model; this server has {service.settings.name!r}")
    if request.path_params.get("version", VERSION) != VERSION:
        raise Refusal(404, f"no such version; {service.settings.name!r} has version {VERSION} alone")


async def _compressed(response: Response, request: Request, service: Service) -> Response:
    asked = [coding.strip() for coding in request.headers.get("accept-encoding", "").lower().split(",")]
    if "gzip" not in asked or len(response.body) < _WORTH_COMPRESSING:
        return response
    headers = {name: value for name, value in response.headers.items() if name != "content-length"}
    body = await service.read(gzip.compress, bytes(response.body), 1, mtime=0)
    return Response(body, 200, {**headers, "content-encoding": "gzip", "vary": "accept-encoding"})


def _readiness(content: dict[str, Any]) -> Response:
    return json_response(content) if content["ready"] else json_response(content, 503, {"retry-after": "1"})


def _signature(service: Service) -> Signature:
    engine = service.engine
    k = len(engine.labels)
    outputs: dict[str, tuple[str, tuple[int, ...]]] = {"features": ("FP32", (engine.features,))}
    if k:
        outputs = {"logits": ("FP32", (k,)), "probabilities": ("FP32", (k,)), "label": ("BYTES", ())}
    return Signature(
        channels=engine.channels, size=engine.size, outputs=outputs, max_images=service.settings.max_images
    )


def _metadata(service: Service) -> dict[str, Any]:
    signature = _signature(service)
    return {
        "name": service.settings.name,
        "versions": [VERSION],
        "platform": "pytorch_vitascope",
        # Clients send every input that is listed, so the alternative is told as a parameter.
        "inputs": [{"name": PIXELS, "datatype": "FP32", "shape": [-1, *signature.input_shape]}],
        "outputs": [
            {"name": name, "datatype": datatype, "shape": [-1, *shape]}
            for name, (datatype, shape) in signature.outputs.items()
        ],
        "parameters": {
            "alternative_input": IMAGE,
            "alternative_datatype": "BYTES",
            "max_images": signature.max_images,
        },
    }


def _results(outputs: npt.NDArray[np.float32], service: Service) -> dict[str, Array]:
    labels = service.engine.labels
    if not labels:
        return {"features": outputs}
    best = np.array([labels[i] for i in outputs.argmax(axis=1)], dtype=object)
    return {"logits": outputs, "probabilities": service.engine.probabilities(outputs), "label": best}
