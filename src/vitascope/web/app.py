"""The application: /predict, the page with its data, and the Open Inference Protocol, around one service.

app = create_app("runs/flowers")        # for any ASGI server; `vitascope serve` is the short way
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from fastapi import APIRouter, FastAPI, Query, Request
from starlette.responses import Response

from vitascope.version import __version__
from vitascope.web import errors, protocol
from vitascope.web.assets import PAGE, Asset, Assets
from vitascope.web.errors import Refusal, json_response
from vitascope.web.guard import Guard
from vitascope.web.payload import labels, layer_payload, look_payload
from vitascope.web.service import Service
from vitascope.web.settings import ServeSettings, served_name
from vitascope.web.uploads import FIELD, Upload, read_uploads

if TYPE_CHECKING:
    from vitascope.checkpoints.checkpoint import Checkpoint
    from vitascope.web.engine import Engine
    from vitascope.web.looks import HeldLook

_LAYER_BYTES_EACH = 20  # for each weight of attention: float32, what softmax takes, and its text in copies; measured
_FORM = {"type": "object", "properties": {FIELD: {"type": "string", "format": "binary"}}, "required": [FIELD]}
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {"schema": _FORM},
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}


def create_app(
    checkpoint: Checkpoint | str | Path | Callable[[], Checkpoint],
    settings: ServeSettings | None = None,
    *,
    image_size: int | tuple[int, int] | None = None,
    device: str | None = None,
    engine: str = "eager",
) -> FastAPI:
    """An application that loads `checkpoint`, or calls it to, when it starts, and answers 503 until it has.

    `image_size`, `device` and `engine` as for `vitascope.load` and `Predictor`. A checkpoint that cannot be loaded is
    told by `app.state.service.failure`.
    """
    settings = settings or ServeSettings(
        name=served_name(str(checkpoint)) if isinstance(checkpoint, str | Path) else "model"
    )

    def load() -> Engine:
        from vitascope.checkpoints.load import adapt, load
        from vitascope.models.config import image_size_pair
        from vitascope.web.engine import Engine

        if isinstance(checkpoint, str | Path):
            loaded = load(checkpoint, image_size=image_size)
        else:
            loaded = checkpoint() if callable(checkpoint) else checkpoint
            loaded = loaded if image_size is None else adapt(loaded, image_size=image_size_pair(image_size))
        return Engine(loaded, device=device, max_pixels=settings.max_pixels, engine=engine, batch=settings.batch)

    return application(Service(load, settings))


def application(service: Service, assets: Assets | None = None) -> FastAPI:
    """The application around a service; `assets` are the page's files."""
    assets = assets or Assets()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with service.running():
            yield

    app = FastAPI(
        title="Vitascope",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,  # those pages load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.service = service
    errors.install(app)
    settings = service.settings
    app.add_middleware(Guard, policy=assets.policy, hosts=settings.hosts, answer_bytes=settings.intake_bytes)
    app.include_router(_predict_routes(service))
    app.include_router(protocol.routes(service))
    app.include_router(_page_routes(service))
    app.include_router(_asset_routes(assets))
    return app


def _predict_routes(service: Service) -> APIRouter:
    router = APIRouter()

    @router.post("/predict", summary="labels and probabilities of one image or several", openapi_extra=_BODY)
    async def predict(request: Request, top: Annotated[int, Query(ge=1, le=2**31)] = 5) -> Response:
        names = service.engine.labels
        if not names:
            raise Refusal(422, "this model has no head, so it cannot predict labels; fine-tune it first")
        async with service.intake.body(request) as body:
            uploads = await _uploads(request, body, service)
            logits = await service.outputs_of_files([upload.content for upload in uploads])
            rows = service.engine.probabilities(logits)
        found = []
        for upload, row in zip(uploads, rows, strict=True):
            best = np.argsort(-row, kind="stable")[:top].tolist()
            found.append({"name": upload.name, "labels": labels([(names[i], i, float(row[i])) for i in best])})
        return json_response({"model": service.settings.name, "predictions": found})

    return router


def _page_routes(service: Service) -> APIRouter:
    router = APIRouter(prefix="/api", tags=["the page's data"])

    @router.get("/model", summary="what the page shows of the model")
    async def model() -> Response:
        return json_response(await service.model())

    @router.post("/look", summary="the insides of one image", openapi_extra=_BODY)
    async def make_look(request: Request) -> Response:
        service.engine  # noqa: B018 (refuses before anything is read)
        async with service.intake.body(request) as body:
            uploads = await _uploads(request, body, service)
            if len(uploads) > 1:
                raise Refusal(400, f"{len(uploads)} images, expected one at a time")
            name = uploads[0].name or "image"
            return await _look(await service.look(uploads[0].content, name), name)

    @router.get("/looks/{id}", summary="the insides of an image looked at lately")
    async def held_look(id: str) -> Response:
        held = _held(id)
        return await _look(held, held.name)

    @router.get("/looks/{id}/layers/{layer}", summary="the attention of one layer, numbered from 0")
    async def layer(id: str, layer: str) -> Response:
        held = _held(id)
        layers = len(held.look.norms)
        if not (layer.isascii() and layer.isdigit() and len(layer) < 6 and int(layer) < layers):
            raise Refusal(404, f"no such layer; this model has the layers 0 to {layers - 1}")
        _, heads, tokens, _ = held.look.keys.shape
        size = _LAYER_BYTES_EACH * heads * tokens**2
        return await service.read_within(size, lambda: json_response(layer_payload(held.look, int(layer))))

    @router.get("/examples/{id}", summary="the insides of an example")
    async def example(id: str) -> Response:
        found = (await service.examples()).get(id)
        if found is None:
            raise Refusal(404, "no such example")
        return await _look(await service.look(found.content, found.name), found.name)

    async def _look(held: HeldLook, name: str) -> Response:
        return json_response(await service.read(look_payload, held.look, held.id, name))

    def _held(id: str) -> HeldLook:
        held = service.looks.get(id)
        if held is None:
            raise Refusal(404, "this image is no longer held; send it again")
        return held

    return router


def _asset_routes(assets: Assets) -> APIRouter:
    router = APIRouter(include_in_schema=False)

    @router.get("/")
    async def page(request: Request) -> Response:
        return _send(assets.get(PAGE), request)

    @router.get("/static/{path:path}")
    async def static(path: str, request: Request) -> Response:
        return _send(assets.get(path), request)

    def _send(asset: Asset | None, request: Request) -> Response:
        if asset is None:
            raise Refusal(404, "no such file")
        headers = {"etag": asset.etag, "cache-control": "no-cache"}
        if request.headers.get("if-none-match") == asset.etag:
            return Response(status_code=304, headers=headers)
        return Response(asset.content, headers={**headers, "content-type": asset.type})

    return router


async def _uploads(request: Request, body: bytes, service: Service) -> list[Upload]:
    kind: Any = request.headers.get("content-type", "")
    return await service.read(read_uploads, body, kind, service.settings.max_images)
