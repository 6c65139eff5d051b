"""Teaching over HTTP: photographs into classes, the lesson of them, answers, and the run to take away or to go on with.

Every address but the first holds the id of a session, which nobody else knows. A change names the version that it was
made of, so that what is meant is what is changed.
"""

from __future__ import annotations

import asyncio
import io
import re
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import numpy as np
from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from vitascope.errors import CheckpointError, ImageError
from vitascope.web.errors import Refusal, json_response
from vitascope.web.intake import BODY, Upload
from vitascope.web.service import Service
from vitascope.web.sessions import Session

if TYPE_CHECKING:
    from vitascope.teaching.lesson import Lesson
    from vitascope.web.teacher import Photo

Name = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^\S(.*\S)?$")]
"""Of a class."""
_SHOWN = 5
_PIECE = 2**16
_SAVED = 2
"""Runs that are written or sent at a time; each takes as much of the disk as the model."""


class Change(BaseModel):
    """A change of what was taught: one of these, made of the state `version`."""

    model_config = ConfigDict(extra="forbid")

    version: int
    """Of the state that was seen."""
    forget: list[int] = []
    """Places of photographs to take out."""
    forget_class: str | None = None
    """A class to take out."""
    move: list[int] = []
    """Places of photographs to put into the class `to`."""
    rename: str | None = None
    """A class to be called `to`."""
    to: Name | None = None
    """Where `move` puts them, how `rename` calls it."""
    undo: bool = False
    """Back to the state before."""


class Archive(StreamingResponse):
    """A saved run on its way; `held` is given back when it was taken or the client left."""

    def __init__(self, file: BinaryIO, held: AsyncExitStack) -> None:
        size = file.seek(0, io.SEEK_END)
        file.seek(0)
        named = {"content-disposition": 'attachment; filename="taught.zip"', "content-length": str(size)}
        pieces = iter(lambda: file.read(_PIECE), b"")
        super().__init__(pieces, media_type="application/zip", headers={**named, "cache-control": "no-store"})
        self._held = held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See `Response`."""
        async with self._held:
            await super().__call__(scope, receive, send)


def routes(service: Service) -> APIRouter:
    """What the page asks while somebody teaches."""
    router = APIRouter(prefix="/api/teach", tags=["teaching"])
    saving = asyncio.Semaphore(_SAVED)

    @router.post("", summary="begin to teach")
    async def begin() -> Response:
        return json_response(_state(service.sessions.begin(service.teacher.begin)))

    @router.get("/{id}", summary="what was taught so far")
    async def state(id: str) -> Response:
        return json_response(_state(service.sessions.get(id)))

    @router.delete("/{id}", summary="forget all of it")
    async def end(id: str) -> Response:
        service.sessions.end(id)
        return json_response({})

    @router.post("/{id}/photos", summary="photographs for a class", openapi_extra=BODY)
    async def add(
        request: Request,
        id: str,
        label: Annotated[Name, Query(alias="class")],
        step: Annotated[str, Query(max_length=40)] = "",
    ) -> Response:
        session, teacher = service.sessions.get(id), service.teacher
        async with service.intake.uploads(request) as uploads:
            read, refused = await _read(service, uploads)
            rows = await service.features([pixels for _, _, pixels in read])
        async with session.turn:
            more = teacher.of([photo for _, photo, _ in read], [name for name, _, _ in read], rows, label)
            known, again, moved = session.known.with_more(more)
            if len(more):
                session.change(known.only(np.ones(len(known), dtype=bool)), step, [photo for _, photo, _ in read])
            counts = {"added": len(more) - again - moved, "again": again, "moved": moved}
            return json_response({**_state(session), **counts, "refused": refused})

    @router.post("/{id}/change", summary="forget, move, rename or undo")
    async def change(id: str, asked: Change) -> Response:
        session = service.sessions.get(id)
        async with session.turn:
            if asked.version != session.version:
                raise Refusal(409, "what was taught has changed meanwhile; look again")
            _change(session, asked)
            return json_response(_state(session))

    @router.get("/{id}/lesson", summary="the head, solved, and what it knows of itself")
    async def lesson(id: str) -> Response:
        session = service.sessions.get(id)
        async with session.turn:
            if not _tells_apart(session):
                return json_response({"version": session.version, "ready": False})
            found = await solved(session)
            return json_response({"version": session.version, "ready": True, **service.teacher.summary(found)})

    @router.post("/{id}/try", summary="what the head says of an image", openapi_extra=BODY)
    async def attempt(request: Request, id: str) -> Response:
        session, teacher = service.sessions.get(id), service.teacher
        async with service.intake.uploads(request) as uploads:
            if len(uploads) > 1:
                raise Refusal(400, f"{len(uploads)} images, expected one at a time")
            _, pixels = await service.decoded(teacher.read, uploads[0].content)
            row = await service.features([pixels])
        async with session.turn:
            found = await solved(session)
            size = teacher.solving_bytes(found.known)
            answer, like = await service.readers(
                size, lambda: (teacher.answer(found, row, _SHOWN), teacher.like(found, row))
            )
            told = [{"place": i, "cosine": cosine, "lead": lead} for i, cosine, lead in like]
            coverage = None if found.sets is None else found.sets.coverage
            return json_response({"version": session.version, **answer.as_json(), "coverage": coverage, "like": told})

    @router.get("/{id}/photos/{mark}", summary="a photograph, small")
    async def picture(id: str, mark: str) -> Response:
        held = service.sessions.get(id).photos.get(_number(mark))
        if held is None:
            raise Refusal(404, "no such photograph")
        return Response(held.picture, media_type="image/jpeg", headers={"cache-control": "private, max-age=86400"})

    @router.get(
        "/{id}/run",
        summary="the run as `vitascope teach` would write it, without its report, zipped",
    )
    async def save(id: str) -> Response:
        session = service.sessions.get(id)
        if saving.locked():
            raise Refusal(503, "other runs are being saved; try again in a second")
        async with AsyncExitStack() as held:
            await held.enter_async_context(saving)
            async with session.turn:
                found = await solved(session)
            archive = await service.readers(0, service.teacher.archive, found, service.settings.name)
            held.callback(archive.close)
            return Archive(archive, held.pop_all())

    @router.post("/{id}/run", summary="go on with a run: the bytes of its taught.safetensors")
    async def load(request: Request, id: str, sha256: Annotated[str, Query(pattern="^[0-9a-f]{64}$")]) -> Response:
        session = service.sessions.get(id)
        async with service.intake.body(request) as body:
            try:
                known = await service.readers(4 * len(body), service.teacher.parse, body, sha256)
            except CheckpointError as error:
                raise Refusal(422, str(error)) from error
        async with session.turn:
            session.change(known)
            return json_response(_state(session))

    async def solved(session: Session) -> Lesson:
        """Of the session's state, which its `turn` keeps as it is."""
        if not _tells_apart(session):
            raise Refusal(422, "photographs of two classes are needed before there is something to tell apart")
        if session.lesson is None:
            teacher = service.teacher
            size = teacher.solving_bytes(session.known)
            async with service.in_time():
                session.lesson = await service.readers(size, teacher.learn, session.known, session.photos)
        return session.lesson

    return router


def _tells_apart(session: Session) -> bool:
    return len(np.unique(session.known.labels)) > 1


async def _read(
    service: Service, uploads: Sequence[Upload]
) -> tuple[list[tuple[str, Photo, Any]], list[dict[str, str]]]:
    """(name, photo, pixels) of those that can be read, each content once, and why the others cannot."""
    read: dict[int, tuple[str, Photo, Any]] = {}
    refused = []
    for upload in uploads:
        name = upload.name or "photograph"
        try:
            photo, pixels = await service.decoded(service.teacher.read, upload.content)
            read[photo.mark] = (name, photo, pixels)
        except (ImageError, Refusal) as error:
            refused.append({"name": name, "why": str(error)})
    return list(read.values()), refused


def _change(session: Session, asked: Change) -> None:
    known = session.known
    kinds = [asked.forget, asked.forget_class is not None, asked.move, asked.rename is not None, asked.undo]
    if sum(map(bool, kinds)) != 1 or ((bool(asked.move) or asked.rename is not None) != (asked.to is not None)):
        raise Refusal(422, "expected one of forget, forget_class, move with to, rename with to, undo")
    if not all(0 <= place < len(known) for place in (*asked.forget, *asked.move)):
        raise Refusal(422, f"places from 0 to {len(known) - 1} are known")
    if asked.undo:
        session.undo()
    elif asked.forget:
        session.change(known.only(~np.isin(np.arange(len(known)), asked.forget)))
    elif asked.forget_class is not None:
        session.change(known.only(known.labels != _class(known.classes, asked.forget_class)))
    elif asked.move:
        session.change(known.moved(asked.move, str(asked.to)))
    else:
        session.change(known.renamed(str(asked.rename), str(asked.to)))


def _class(classes: tuple[str, ...], name: str) -> int:
    if name not in classes:
        raise Refusal(422, "there is no class of that name")
    return classes.index(name)


def _state(session: Session) -> dict[str, Any]:
    """What was taught; photographs by their places, named as people named them, without folders."""
    known = session.known
    photos = [
        {"name": Path(name).name[:200], "class": int(label), "picture": _mark(mark) if mark in session.photos else None}
        for name, label, mark in zip(known.names, known.labels.tolist(), known.marks.tolist(), strict=True)
    ]
    told = {"id": session.id, "version": session.version, "undo": session.undoes}
    return {**told, "classes": list(known.classes), "photos": photos}


def _mark(mark: int) -> str:
    return f"{mark & (2**64 - 1):016x}"


def _number(text: str) -> int:
    """What `_mark` made a text of; 0, which is no mark, of any other text."""
    if not re.fullmatch("[0-9a-f]{16}", text):
        return 0
    return int.from_bytes(bytes.fromhex(text), "big", signed=True)
