"""The application: /predict, the page with its data, and the Open Inference Protocol, around one service."""

from __future__ import annotations

import functools
from importlib.abc import Traversable
from importlib.resources import files
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Query, Request
from starlette.responses import Response

from vitascope.version import __version__
from vitascope.web import page, protocol, teach
from vitascope.web.described import LABELS, PREDICT, described, examples
from vitascope.web.errors import HANDLERS, Refusal, json_response
from vitascope.web.guard import Guard
from vitascope.web.intake import BODY
from vitascope.web.metrics import CONTENT_TYPE
from vitascope.web.reference import reference
from vitascope.web.service import Service
from vitascope.web.watch import Watch

Top = Annotated[int, Query(ge=1, le=2**31, description="How many labels of an image, the likeliest.")]
Threshold = Annotated[
    float | None,
    Query(ge=0, le=1, description="Sets hold the labels of at least this probability; without, as the model's own do."),
]


def application(service: Service, folder: Traversable | None = None) -> FastAPI:
    """The application around a service; `folder` holds the page's files."""
    app = FastAPI(
        title="Vitascope",
        version=__version__,
        lifespan=lambda _: service.running(),
        docs_url=None,  # those pages load scripts from elsewhere; `reference` is ours
        redoc_url=None,
        redirect_slashes=False,
        exception_handlers=HANDLERS,
    )
    settings = service.settings
    app.add_middleware(Guard, hosts=settings.hosts, answer_bytes=settings.intake_bytes, camera=settings.teach)
    app.add_middleware(Watch, metrics=service.metrics, tell=settings.log_requests)  # the last is the outermost
    app.state.refused = lambda status: service.metrics.request("other", "connection", status, 0.0)
    app.include_router(_predict_routes(service))
    app.include_router(_metrics_route(service))
    app.include_router(protocol.routes(service))
    app.include_router(page.data_routes(service))
    if settings.teach:
        app.include_router(teach.routes(service))
    app.include_router(_reference_route(app, settings.name))

    @functools.cache
    def schema(ready: bool) -> dict[str, Any]:  # its examples are of the model, once that is there
        known = examples(settings.name, service.engine, protocol.metadata(service)) if ready else {}
        return described(app, known)

    app.openapi = lambda: schema(service.ready)  # type: ignore[method-assign]
    app.include_router(page.file_routes(folder or files("vitascope.web") / "static", teach=settings.teach))
    return app


def _metrics_route(service: Service) -> APIRouter:
    router = APIRouter()

    @router.get("/metrics", summary="figures for Prometheus, in its text format")
    async def metrics() -> Response:
        return Response(service.figures(), headers={"content-type": CONTENT_TYPE, "cache-control": "no-store"})

    return router


def _predict_routes(service: Service) -> APIRouter:
    router = APIRouter()

    what = "labels and probabilities of one image or several"

    @router.post("/predict", summary=what, openapi_extra=BODY, responses=PREDICT)
    async def predict(request: Request, top: Top = 5, threshold: Threshold = None) -> Response:
        engine = service.engine
        if not engine.labels:
            raise Refusal(422, "this model has no head, so it cannot predict labels; fine-tune it first")
        async with service.intake.uploads(request) as uploads:
            outputs = await service.outputs([upload.content for upload in uploads])
            found = engine.answers(outputs, top, threshold)
        told = [{"name": upload.name, **answer.as_json()} for upload, answer in zip(uploads, found, strict=True)]
        return json_response({"model": service.settings.name, "predictions": told})

    @router.get("/labels", summary="names in the order of the probabilities, and the prediction sets", responses=LABELS)
    async def labels() -> Response:
        return json_response({"model": service.settings.name, **service.engine.described()})

    return router


def _reference_route(app: FastAPI, name: str) -> APIRouter:
    router = APIRouter()

    @router.get("/docs", include_in_schema=False)
    async def docs(request: Request) -> Response:
        root = f"{request.url.scheme}://{request.url.netloc}"
        return Response(reference(app.openapi(), name, root), media_type="text/html")

    return router
