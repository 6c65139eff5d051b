"""The Open Inference Protocol, version 2, over HTTP: what clients of KServe, Triton and Seldon speak.

One model, without versions. It takes one of two inputs: `pixel_values`, FP32 (B, C, H, W), preprocessed by the client;
or `image`, BYTES (B), image files that are preprocessed here (base64 in JSON). It gives `logits` and `probabilities`,
FP32 (B, K), and `label`, BYTES (B), the most probable class; a model without a head gives `features`, FP32 (B, D').
The extension for binary tensor data is understood in both directions.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from fastapi import APIRouter, Request
from starlette.responses import Response

from vitascope.version import __version__
from vitascope.web.errors import Refusal, json_response
from vitascope.web.service import Service
from vitascope.web.tensors import IMAGE, PIXELS, Array, Signature, parse_request, write_response

_JSON_LENGTH = "inference-header-content-length"


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

    @router.get("/models/{model}", summary="the model's inputs and outputs")
    async def metadata(model: str) -> Response:
        _check_name(model, service)
        return json_response(_metadata(service))

    @router.get("/models/{model}/ready", summary="200 when the model is loaded, 503 before")
    async def model_ready(model: str) -> Response:
        _check_name(model, service)
        return _readiness({"name": service.settings.name, "ready": service.ready})

    @router.post("/models/{model}/infer", summary="outputs for a batch of tensors or images")
    async def infer(model: str, request: Request) -> Response:
        _check_name(model, service)
        signature = _signature(service)
        async with service.intake.body(request) as body:
            wanted = await service.read(parse_request, body, request.headers.get(_JSON_LENGTH), signature)
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
        return response

    return router


def _check_name(model: str, service: Service) -> None:
    if model != service.settings.name:
        raise Refusal(404, f"no such model; this server has {service.settings.name!r}")


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
