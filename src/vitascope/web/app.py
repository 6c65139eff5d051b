"""The application: /predict, the page with its data, and the Open Inference Protocol, around one service."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.abc import Traversable
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, FastAPI, Query, Request
from starlette.responses import Response

from vitascope.version import __version__
from vitascope.web import errors, protocol
from vitascope.web.assets import PAGE, page_files, read_assets
from vitascope.web.errors import Refusal, json_response
from vitascope.web.guard import Guard
from vitascope.web.payload import labels, layer_payload, look_payload
from vitascope.web.service import Service
from vitascope.web.uploads import FIELD, Upload, read_uploads

if TYPE_CHECKING:
    from vitascope.web.looks import HeldLook

_LAYER_BYTES_EACH = 20  # for each weight of attention: float32, what softmax takes, and its text in copies; measured
_FILE = {"type": "string", "format": "binary"}
_FORM = {"type": "object", "properties": {FIELD: _FILE}, "required": [FIELD]}
_CONTENT = {"multipart/form-data": {"schema": _FORM}, "application/octet-stream": {"schema": _FILE}}
_BODY = {"requestBody": {"required": True, "content": _CONTENT}}


def application(service: Service, folder: Traversable | None = None) -> FastAPI:
    """The application around a service; `folder` holds the page's files."""

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
    errors.install(app)
    app.add_middleware(Guard, hosts=service.settings.hosts, answer_bytes=service.settings.intake_bytes)
    app.include_router(_predict_routes(service))
    app.include_router(protocol.routes(service))
    app.include_router(_page_routes(service))
    app.include_router(_asset_routes(folder or page_files()))
    return app


def _predict_routes(service: Service) -> APIRouter:
    router = APIRouter()

    @router.post("/predict", summary="labels and probabilities of one image or several", openapi_extra=_BODY)
    async def predict(request: Request, top: Annotated[int, Query(ge=1, le=2**31)] = 5) -> Response:
        if not service.engine.labels:
            raise Refusal(422, "this model has no head, so it cannot predict labels; fine-tune it first")
        async with service.intake.body(request) as body:
            uploads = await _uploads(request, body, service)
            best = service.engine.ranked(await service.outputs([upload.content for upload in uploads]), top)
        found = [{"name": upload.name, "labels": labels(b)} for upload, b in zip(uploads, best, strict=True)]
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
        look = _held(id).look
        layers, heads, tokens, _ = look.keys.shape
        if layer not in map(str, range(layers)):
            raise Refusal(404, f"no such layer; this model has the layers 0 to {layers - 1}")
        size = _LAYER_BYTES_EACH * heads * tokens**2
        return await service.read_within(size, lambda: json_response(layer_payload(look, int(layer))))

    @router.get("/examples/{id}", summary="the insides of an example")
    async def example(id: str) -> Response:
        example = (await service.examples()).get(id)
        if example is None:
            raise Refusal(404, "no such example")
        return await _look(await service.look(example.content, example.name), example.name)

    async def _look(held: HeldLook, name: str) -> Response:
        return json_response(await service.read(look_payload, held.look, held.id, name))

    def _held(id: str) -> HeldLook:
        held = service.looks.get(id)
        if held is None:
            raise Refusal(404, "this image is no longer held; send it again")
        return held

    return router


def _asset_routes(folder: Traversable) -> APIRouter:
    router = APIRouter(include_in_schema=False)
    assets = read_assets(folder)

    @router.get("/")
    async def page(request: Request) -> Response:
        return await static(PAGE, request)

    @router.get("/static/{name}")
    async def static(name: str, request: Request) -> Response:
        asset = assets.get(name)
        if asset is None:
            raise Refusal(404, "no such file")
        if request.headers.get("if-none-match") == asset.headers["etag"]:
            kept = {key: asset.headers[key] for key in ("etag", "cache-control")}
            return Response(status_code=304, headers=kept)
        return asset

    return router


async def _uploads(request: Request, body: bytes, service: Service) -> list[Upload]:
    return await read_uploads(body, request.headers.get("content-type", ""), service.settings.max_images)
