"""Images in the body of a request: one as it is, or several as multipart form data (RFC 7578)."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from fastapi import Request
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from vitascope.web.errors import Refusal
from vitascope.web.limits import Intake

FIELD = "image"
"""Name of the form field; it may occur several times."""

_FILE = {"type": "string", "format": "binary"}
_FORM = {"type": "object", "properties": {FIELD: _FILE}, "required": [FIELD]}
_CONTENT = {"multipart/form-data": {"schema": _FORM}, "application/octet-stream": {"schema": _FILE}}
BODY = {"requestBody": {"required": True, "content": _CONTENT}}
"""What a route that takes images adds to the schema."""

_REFUSED_TYPES = ("application/json", "text/", "video/", "audio/", "application/pdf")
_MAX_OTHER_FIELDS, _MAX_OTHER_BYTES = 16, 2**14
_PIECE = 2**18
_TURN = 0.02  # seconds of parsing after which other requests have theirs; a piece full of near boundaries takes 0.1


@dataclass(frozen=True, kw_only=True)
class Upload:
    """One image of a request."""

    name: str | None
    """File name without folders, or None; for people only, no file is ever opened by it."""
    content: bytes
    """The file's bytes."""


@asynccontextmanager
async def uploaded(request: Request, intake: Intake) -> AsyncIterator[list[Upload]]:
    """The images of a request, within the intake's bounds until the context ends; raises Refusal."""
    async with intake.body(request) as body:
        yield await read_uploads(body, request.headers.get("content-type", ""), intake.settings.max_images)


async def read_uploads(body: bytes, content_type: str, max_images: int) -> list[Upload]:
    """The images of a body, at least one. Raises Refusal: 400 malformed or none, 413 too many, 415 another type."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        uploads = await _from_form(body, content_type, max_images)
    elif kind.startswith(_REFUSED_TYPES):
        shown = kind if kind.isprintable() and len(kind) <= 60 else "another type"
        raise Refusal(415, f"received {shown}, expected an image, or a form with a field {FIELD!r}")
    else:  # any other type, for curl calls all bytes a form unless told otherwise
        uploads = [Upload(name=None, content=body)] if body else []
    if not uploads:
        raise Refusal(400, f"no image received; send one as the body, or as a file in the form field {FIELD!r}")
    return uploads


def file_name(text: str) -> str | None:
    """The last part of whatever a client calls its file, without what does not print, at most 200 characters."""
    last = re.split(r"[/\\]", text)[-1]
    return "".join(c for c in last if c.isprintable()).strip()[:200].strip(". ") or None


class _Parser(MultiPartParser):
    """As starlette has it, but nothing goes to disk, and a form that breaks off is told from a whole one."""

    spool_max_size = 0  # no size at which to begin a file: all is in memory already, and bounded
    ended = False

    def on_end(self) -> None:
        self.ended = True


async def _from_form(body: bytes, content_type: str, max_images: int) -> list[Upload]:
    async def pieces() -> AsyncGenerator[bytes, None]:
        began = time.monotonic()
        for at in range(0, len(body), _PIECE):
            if time.monotonic() - began > _TURN:  # not after every piece: a turn of the loop may cost more than one
                await asyncio.sleep(0)
                began = time.monotonic()
            yield body[at : at + _PIECE]
        if not parser.ended:
            raise MultiPartException("It breaks off before its end.")

    limits = {"max_files": max_images, "max_fields": _MAX_OTHER_FIELDS, "max_part_size": _MAX_OTHER_BYTES}
    parser = _Parser(Headers({"content-type": content_type}), pieces(), **limits)
    try:
        form = await parser.parse()
        try:
            files = [file for file in form.getlist(FIELD) if isinstance(file, UploadFile)]
            return [Upload(name=file_name(file.filename or ""), content=await file.read()) for file in files]
        finally:
            await form.close()
    except MultiPartException as error:
        if error.message.startswith("Too many files"):
            raise Refusal(413, f"more than {max_images} images in one request; send fewer at a time") from None
        raise Refusal(400, f"the form is malformed: {error.message}") from None
    except ValueError:
        raise Refusal(400, "the form is malformed: it is not in the charset that it states") from None
