"""The page: its files, read once so that a path that is not among them does not exist, and the data it asks for."""

from __future__ import annotations

import hashlib
from importlib.abc import Traversable
from pathlib import PurePath
from typing import TYPE_CHECKING, cast

from fastapi import APIRouter, Request
from starlette.responses import Response

from vitascope.web.errors import Refusal, json_response
from vitascope.web.intake import BODY
from vitascope.web.payload import layer_payload, look_payload, model_payload, plain_look, plain_payload
from vitascope.web.service import HeldLook, Service

if TYPE_CHECKING:
    from vitascope.views.look import Look

_TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
"""Name ending → media type; files with other endings are not served."""
_LAYER_BYTES_EACH = 20  # for each weight of attention: float32, what softmax takes, and its text in copies; measured


def file_routes(folder: Traversable, *, teach: bool = False) -> APIRouter:
    """The pages and their files; their ETag changes with the content. With `teach` there is the page for it."""
    router = APIRouter(include_in_schema=False)
    known: dict[str, Response] = {}
    for entry in folder.iterdir():
        kind = _TYPES.get(PurePath(entry.name).suffix)
        if kind and not entry.name.startswith("."):
            content = entry.read_bytes()
            headers = {"etag": f'"{hashlib.sha256(content).hexdigest()[:16]}"', "cache-control": "no-cache"}
            known[entry.name] = Response(content, headers=headers, media_type=kind)

    @router.get("/")
    async def page(request: Request) -> Response:
        return await static("index.html", request)

    if teach:

        @router.get("/teach")
        async def teach_page(request: Request) -> Response:
            return await static("teach.html", request)

    @router.get("/static/{name}")
    async def static(name: str, request: Request) -> Response:
        file = known.get(name)
        if file is None:
            raise Refusal(404, "no such file")
        if request.headers.get("if-none-match") == file.headers["etag"]:
            kept = {key: file.headers[key] for key in ("etag", "cache-control")}
            return Response(status_code=304, headers=kept)
        return file

    return router


def data_routes(service: Service) -> APIRouter:
    """What the page shows of the model, and of images."""
    router = APIRouter(prefix="/api", tags=["the page's data"])

    @router.get("/model", summary="what the page shows of the model")
    async def model() -> Response:
        engine = service.engine

        def described() -> Response:
            examples = [{"id": e.id, "name": e.name, "thumbnail": e.thumbnail} for e in engine.examples.values()]
            name = service.settings.name
            if engine.closed:
                told = plain_payload(name, engine.closed, len(engine.labels), engine.size, examples)
            else:
                told = model_payload(engine.scope, name, examples)
            return json_response({**told, "examples_note": engine.examples_note, "teach": service.settings.teach})

        return await service.readers(0, described)

    @router.post("/look", summary="the insides of one image", openapi_extra=BODY)
    async def make_look(request: Request) -> Response:
        service.engine  # noqa: B018 (refuses before anything is read)
        async with service.intake.uploads(request) as uploads:
            if len(uploads) > 1:
                raise Refusal(400, f"{len(uploads)} images, expected one at a time")
            name = uploads[0].name or "image"
            return await answer(await service.look(uploads[0].content, name), name)

    @router.get("/looks/{id}", summary="the insides of an image looked at lately")
    async def held_look(id: str) -> Response:
        look = held(id)
        return await answer(look, look.name)

    @router.get("/looks/{id}/layers/{layer}", summary="the attention of one layer, numbered from 0")
    async def layer(id: str, layer: str) -> Response:
        look = cast("Look", held(id).look)
        if closed := service.engine.closed:
            raise Refusal(404, closed)
        layers, heads, tokens, _ = look.keys.shape
        if layer not in map(str, range(layers)):
            raise Refusal(404, f"no such layer; this model has the layers 0 to {layers - 1}")
        size = _LAYER_BYTES_EACH * heads * tokens**2
        return await service.readers(size, lambda: json_response(layer_payload(look, int(layer))))

    @router.get("/examples/{id}", summary="the insides of an example")
    async def example(id: str) -> Response:
        engine = service.engine
        example = (await service.readers(0, lambda: engine.examples)).get(id)
        if example is None:
            raise Refusal(404, "no such example")
        return await answer(await service.look(example.content, example.name), example.name)

    def held(id: str) -> HeldLook:
        look = service.looks.get(id)
        if look is None:
            raise Refusal(404, "this image is no longer held; send it again")
        return look

    async def answer(look: HeldLook, name: str) -> Response:
        def told() -> Response:
            if service.engine.closed:
                return json_response(plain_look(look.look, look.id, name))
            return json_response(look_payload(cast("Look", look.look), look.id, name))

        return await service.readers(0, told)

    return router
